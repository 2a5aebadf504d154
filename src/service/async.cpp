#include "service/async.h"

#include <memory>

#include <boost/asio/async_result.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace itemcrop::service {
namespace asio = boost::asio;

Awaitable<void> await_callback(std::function<void(std::function<void()>)> start) {
  const auto executor = co_await asio::this_coro::executor;
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(
      [&](auto handler) {
        auto resume = std::make_shared<decltype(handler)>(std::move(handler));
        // The work guard keeps the executor's context running until the callback comes.
        auto guard = asio::make_work_guard(executor);
        start([executor, resume = std::move(resume), guard = std::move(guard)]() mutable {
          asio::post(executor, [resume = std::move(resume), guard = std::move(guard)]() mutable {
            std::move (*resume)();
          });
        });
      },
      asio::use_awaitable);
}

namespace {

/// Runs a function that may throw where `post` puts it.
Awaitable<void> run_where(std::function<void(std::function<void()>)> post,
                          std::function<void()> function) {
  std::exception_ptr problem;
  co_await await_callback([&](std::function<void()> done) {
    post([&function, &problem, done = std::move(done)] {
      try {
        function();
      } catch (...) {
        problem = std::current_exception();
      }
      done();
    });
  });
  if (problem) std::rethrow_exception(problem);
}

}  // namespace

Awaitable<void> run_blocking(asio::thread_pool& pool, std::function<void()> function) {
  return run_where([&pool](std::function<void()> task) { asio::post(pool, std::move(task)); },
                   std::move(function));
}

Awaitable<void> run_blocking(FairPool& pool, const std::string& caller,
                             std::function<void()> function) {
  return run_where(
      [&pool, caller](std::function<void()> task) { pool.post(caller, std::move(task)); },
      std::move(function));
}

StopAtDeadline::StopAtDeadline(asio::thread_pool& pool,
                               std::optional<std::chrono::steady_clock::time_point> deadline,
                               std::stop_token gone)
    : relay_(std::move(gone), [source = source_]() mutable { source.request_stop(); }),
      timer_(pool.get_executor()) {
  if (!deadline) return;
  timer_.expires_at(*deadline);
  timer_.async_wait([source = source_](boost::system::error_code cancelled) mutable {
    if (!cancelled) source.request_stop();
  });
}

namespace {

/// What the lanes of one gather share; all of them run on one strand.
struct Gathering {
  std::vector<std::function<Awaitable<void>()>> tasks;
  std::size_t next = 0;
  std::size_t lanes = 0;
  std::exception_ptr problem;
  std::function<void()> done;
};

Awaitable<void> run_lane(std::shared_ptr<Gathering> all) {
  while (all->next < all->tasks.size()) {
    auto& task = all->tasks[all->next++];
    try {
      co_await task();
    } catch (...) {
      if (!all->problem) all->problem = std::current_exception();
    }
  }
  if (--all->lanes == 0) all->done();
}

}  // namespace

Awaitable<void> gather(std::vector<std::function<Awaitable<void>()>> tasks, std::size_t width) {
  if (tasks.size() == 1) {
    co_await tasks.front()();
    co_return;
  }
  if (tasks.empty()) co_return;
  auto all = std::make_shared<Gathering>();
  all->tasks = std::move(tasks);
  all->lanes = std::min(width, all->tasks.size());
  const auto executor = co_await asio::this_coro::executor;
  co_await await_callback([&](std::function<void()> done) {
    all->done = std::move(done);
    for (std::size_t lane = all->lanes; lane > 0; --lane) {
      asio::co_spawn(executor, run_lane(all), asio::detached);
    }
  });
  if (all->problem) std::rethrow_exception(all->problem);
}

}  // namespace itemcrop::service
