#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace itemcrop {

/// A fixed team of threads for one call at a time: the caller is worker 0.
class ThreadPool {
 public:
  /// `threads` >= 1 workers in all. Throws Error(kOutOfMemory) if threads cannot be started.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const noexcept { return static_cast<int>(threads_.size()) + 1; }

  /// Runs body(task, worker) for every task in [0, tasks), handed out in order; returns when all
  /// are done. The first exception stops further tasks and is rethrown here. Not reentrant.
  void parallel_for(std::int64_t tasks, const std::function<void(std::int64_t, int)>& body);

 private:
  void work(int worker);
  void drain(int worker);

  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable start_;
  std::condition_variable done_;
  const std::function<void(std::int64_t, int)>* body_ = nullptr;
  std::int64_t tasks_ = 0;
  std::atomic<std::int64_t> next_{0};
  std::uint64_t generation_ = 0;
  int busy_ = 0;
  bool stop_ = false;
  std::exception_ptr error_;
};

/// Usable processors of this process (respects affinity masks such as taskset's); at least 1.
int hardware_threads() noexcept;

}  // namespace itemcrop
