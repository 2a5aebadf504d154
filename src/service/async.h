#pragma once

#include <chrono>
#include <exception>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>

#include "service/fair_pool.h"

namespace itemcrop::service {

template <class T>
using Awaitable = boost::asio::awaitable<T>;

/// Runs a blocking function on a pool and resumes the caller on its own executor; rethrows.
Awaitable<void> run_blocking(boost::asio::thread_pool& pool, std::function<void()> function);

/// The same in a caller's turn.
Awaitable<void> run_blocking(FairPool& pool, const std::string& caller,
                             std::function<void()> function);

/// Waits for a callback: `start` is given a function that must be called exactly once, on any
/// thread, also within `start`.
Awaitable<void> await_callback(std::function<void(std::function<void()>)> start);

/// A token that stops when another does or when a time has come.
class StopAtDeadline {
 public:
  StopAtDeadline(boost::asio::thread_pool& pool,
                 std::optional<std::chrono::steady_clock::time_point> deadline,
                 std::stop_token gone);

  std::stop_token token() const noexcept { return source_.get_token(); }

 private:
  std::stop_source source_;
  std::stop_callback<std::function<void()>> relay_;
  boost::asio::steady_timer timer_;
};

/// Runs all, at most `width` at a time, on the caller's executor, which must be a strand; returns
/// when all have ended. The first exception is rethrown then.
Awaitable<void> gather(std::vector<std::function<Awaitable<void>()>> tasks, std::size_t width);

}  // namespace itemcrop::service
