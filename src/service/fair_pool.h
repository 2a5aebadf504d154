#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <unordered_map>

#include <boost/asio/thread_pool.hpp>

namespace itemcrop::service {

/// Threads that take tasks of callers in turn: however many one caller has, the next task of
/// another waits for one task of each at most. Of one caller's the order is kept. Thread-safe.
class FairPool {
 public:
  explicit FairPool(std::size_t threads) : threads_(threads) {}

  void post(const std::string& caller, std::function<void()> task);

  /// The threads, for what waits or resumes on them and is nobody's task.
  boost::asio::thread_pool& threads() noexcept { return threads_; }
  /// Ends once no task is left.
  void join() { threads_.join(); }

 private:
  void run_next();

  std::mutex mutex_;
  std::unordered_map<std::string, std::deque<std::function<void()>>> tasks_;  // none is empty
  std::deque<std::string> turns_;                                             // callers with tasks
  boost::asio::thread_pool threads_;  // last: its threads use what is above
};

}  // namespace itemcrop::service
