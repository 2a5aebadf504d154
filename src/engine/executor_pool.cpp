#include "engine/executor_pool.h"

#include <algorithm>
#include <utility>

#include "itemcrop/error.h"

namespace itemcrop::engine {

ExecutorPool::Lease::Lease(ExecutorPool& pool, int threads, std::size_t arena_bytes)
    : pool_(pool), idle_(pool.take(threads, arena_bytes)) {}

ExecutorPool::Lease::~Lease() { pool_.give_back(std::move(idle_)); }

ExecutorPool::Lease::Idle ExecutorPool::take(int threads, std::size_t arena_bytes) {
  {
    const std::lock_guard lock(mutex_);
    // The smallest arena that is large enough.
    auto best = idle_.end();
    for (auto it = idle_.begin(); it != idle_.end(); ++it) {
      if (it->threads != threads || it->arena_bytes < arena_bytes) continue;
      if (best == idle_.end() || it->arena_bytes < best->arena_bytes) best = it;
    }
    if (best != idle_.end()) {
      Lease::Idle found = std::move(*best);
      idle_.erase(best);
      return found;
    }
  }
  try {
    return {backend_->make_executor(threads, arena_bytes), threads, arena_bytes};
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kOutOfMemory || !drop_idle()) throw;
  }
  return {backend_->make_executor(threads, arena_bytes), threads, arena_bytes};
}

bool ExecutorPool::drop_idle() {
  std::vector<Lease::Idle> dropped;
  {
    const std::lock_guard lock(mutex_);
    dropped.swap(idle_);
  }
  return !dropped.empty();
}

void ExecutorPool::give_back(Lease::Idle idle) {
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(idle));
  if (idle_.size() > kMaxIdle) {
    idle_.erase(std::ranges::min_element(idle_, {}, &Lease::Idle::arena_bytes));
  }
}

}  // namespace itemcrop::engine
