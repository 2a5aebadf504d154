#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "ops/backend.h"

namespace itemcrop::engine {

/// Keeps executors (threads and arenas) between calls, so that a call does not pay for page faults
/// and thread starts. Thread-safe; a lease belongs to one call.
class ExecutorPool {
 public:
  explicit ExecutorPool(std::shared_ptr<const ops::Backend> backend)
      : backend_(std::move(backend)) {}

  class Lease {
   public:
    Lease(ExecutorPool& pool, int threads, std::size_t arena_bytes);
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    ops::Executor& operator*() const noexcept { return *idle_.executor; }

   private:
    friend class ExecutorPool;
    ExecutorPool& pool_;
    struct Idle {
      std::unique_ptr<ops::Executor> executor;
      int threads = 0;
      std::size_t arena_bytes = 0;
    } idle_;
  };

 private:
  /// More than this many idle executors would hold memory that few callers need again.
  static constexpr std::size_t kMaxIdle = 4;

  /// Where memory is short, idle executors give theirs up.
  Lease::Idle take(int threads, std::size_t arena_bytes);
  bool drop_idle();  ///< whether there were any
  void give_back(Lease::Idle idle);

  std::shared_ptr<const ops::Backend> backend_;
  std::mutex mutex_;
  std::vector<Lease::Idle> idle_;
};

}  // namespace itemcrop::engine
