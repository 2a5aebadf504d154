#include "backend/cuda/emulation/grid.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "backend/cuda/emulation/fiber.h"

namespace itemcrop::cuda::emulation {
namespace {

// What a GPU of compute capability 8.6 or 8.9 gives a block; 8.0 and 9.0 give more.
constexpr std::size_t kSharedLimit = std::size_t{99} << 10;
constexpr unsigned kMaxThreads = 1024;

enum class Where : std::uint8_t { kReady, kBarrier, kWarp, kDone };

struct Copy {
  void* to;
  const void* from;
};

struct Thread {
  std::vector<Copy> copies;
  Fiber* fiber = nullptr;
  Dim3 index;
  Where where = Where::kReady;
};

struct Warp {
  void* slots[kLanes] = {};
  void (*combine)(void* const*) = nullptr;
  unsigned arrived = 0;
};

/// Fibers between launches: mapping stacks anew each time would take longer than most kernels.
thread_local std::vector<std::unique_ptr<Fiber>> idle_fibers;

/// One block's threads, reused from block to block.
class BlockRunner {
 public:
  BlockRunner(const char* kernel, Dim3 size, void (*body)(void*), void* argument)
      : kernel_(kernel), body_(body), argument_(argument) {
    const unsigned count = size.x * size.y * size.z;
    threads_.resize(count);
    warps_.resize((count + kLanes - 1) / kLanes);
    unsigned i = 0;
    for (unsigned z = 0; z < size.z; ++z) {
      for (unsigned y = 0; y < size.y; ++y) {
        for (unsigned x = 0; x < size.x; ++x) threads_[i++].index = {x, y, z};
      }
    }
  }

  /// Fibers that were abandoned half-way are as good as others: start() begins anew.
  ~BlockRunner() {
    for (std::unique_ptr<Fiber>& fiber : fibers_) idle_fibers.push_back(std::move(fiber));
  }
  BlockRunner(const BlockRunner&) = delete;
  BlockRunner& operator=(const BlockRunner&) = delete;

  void run() {
    for (Warp& warp : warps_) warp = {};
    for (unsigned t = 0; t < threads_.size(); ++t) threads_[t].where = Where::kReady;
    for (;;) {
      for (unsigned w = 0; w < warps_.size(); ++w) run_warp(ordered(w, warps_.size()));
      if (!pass_barrier()) return;
    }
  }

  void barrier() { wait(Where::kBarrier); }

  void operate(void* mine, void (*combine)(void* const*)) {
    const unsigned lane = current_ % kLanes;
    Warp& warp = warps_[current_ / kLanes];
    if (warp.arrived != 0 && warp.combine != combine) {
      fault("lanes of a warp meet in different operations");
    }
    warp.combine = combine;
    warp.slots[lane] = mine;
    if (++warp.arrived < kLanes) return wait(Where::kWarp);
    warp.arrived = 0;
    combine(warp.slots);
    const unsigned first = current_ / kLanes * kLanes;
    for (unsigned t = first; t < first + kLanes; ++t) threads_[t].where = Where::kReady;
  }

  void finish() {
    if (!threads_[current_].copies.empty()) error_ = "ended before its copies";
    wait(Where::kDone);
  }

  void enqueue_copy(void* to, const void* from) { threads_[current_].copies.push_back({to, from}); }

  void make_copies() {
    for (const Copy& copy : threads_[current_].copies) std::memcpy(copy.to, copy.from, 16);
    threads_[current_].copies.clear();
  }

  void fault(const char* what) {
    error_ = what;
    wait(Where::kDone);
  }

 private:
  static unsigned ordered(unsigned i, std::size_t count) {
    return order == Order::kForward ? i : static_cast<unsigned>(count) - 1 - i;
  }

  void wait(Where where) {
    threads_[current_].where = where;
    threads_[current_].fiber->suspend();
  }

  static void enter(void* runner) {
    auto* self = static_cast<BlockRunner*>(runner);
    self->body_(self->argument_);
    self->finish();
  }

  /// Runs the warp's threads until each waits at the block's barrier or is done.
  void run_warp(unsigned w) {
    const unsigned first = w * kLanes;
    const auto lanes = std::min<unsigned>(kLanes, static_cast<unsigned>(threads_.size()) - first);
    for (bool moved = true; moved;) {
      moved = false;
      for (unsigned i = 0; i < lanes; ++i) {
        const unsigned t = first + ordered(i, lanes);
        Thread& thread = threads_[t];
        if (thread.where != Where::kReady) continue;
        moved = true;
        resume(t);
        if (thread.where == Where::kDone) {
          free_.push_back(thread.fiber);
          thread.fiber = nullptr;
        }
        if (!error_.empty()) fail(t, error_);
      }
    }
    for (unsigned t = first; t < first + lanes; ++t) {
      if (threads_[t].where == Where::kWarp) fail(t, "some lanes of its warp never come");
    }
  }

  void resume(unsigned t) {
    Thread& thread = threads_[t];
    if (thread.fiber == nullptr) {
      thread.fiber = take_fiber();
      thread.fiber->start(&BlockRunner::enter, this);
    }
    current_ = t;
    running.thread_index = thread.index;
    running.lane = t % kLanes;
    thread.fiber->resume();
  }

  Fiber* take_fiber() {
    if (free_.empty()) {
      if (idle_fibers.empty()) idle_fibers.push_back(std::make_unique<Fiber>());
      fibers_.push_back(std::move(idle_fibers.back()));
      idle_fibers.pop_back();
      free_.push_back(fibers_.back().get());
    }
    Fiber* fiber = free_.back();
    free_.pop_back();
    return fiber;
  }

  /// Whether there is more to run.
  bool pass_barrier() {
    std::size_t waiting = 0;
    unsigned missing = 0;
    for (unsigned t = 0; t < threads_.size(); ++t) {
      if (threads_[t].where == Where::kBarrier) {
        ++waiting;
      } else {
        missing = t;
      }
    }
    if (waiting == 0) return false;
    if (waiting != threads_.size()) fail(missing, "ended while others wait at a barrier");
    for (Thread& thread : threads_) thread.where = Where::kReady;
    return true;
  }

  [[noreturn]] void fail(unsigned t, const std::string& what) {
    const Dim3 block = running.block_index;
    throw std::logic_error(std::string("kernel ") + kernel_ + ", block " + std::to_string(block.x) +
                           "," + std::to_string(block.y) + "," + std::to_string(block.z) +
                           ", thread " + std::to_string(t) + ": " + what);
  }

  const char* kernel_;
  void (*body_)(void*);
  void* argument_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> free_;
  unsigned current_ = 0;
  std::string error_;
};

constinit thread_local BlockRunner* block_runner = nullptr;

}  // namespace

void run_grid(const char* kernel, Dim3 grid, Dim3 block, std::size_t shared_bytes,
              void (*body)(void*), void* argument) {
  const auto refuse = [&](const char* why) {
    throw std::logic_error(std::string("kernel ") + kernel + ": " + why);
  };
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) refuse("an empty grid");
  if (grid.x > 0x7FFFFFFFU || grid.y > 65535 || grid.z > 65535) refuse("too large a grid");
  const unsigned threads = block.x * block.y * block.z;
  if (threads == 0 || threads > kMaxThreads) refuse("a block of no or too many threads");
  if (shared_bytes > kSharedLimit) refuse("too much shared memory");

  // Exactly as large as asked for, so that a sanitizer sees what lies beyond.
  const auto shared = std::make_unique<std::uint64_t[]>(shared_bytes / 8 + 2);
  auto* aligned = reinterpret_cast<unsigned char*>(
      (reinterpret_cast<std::uintptr_t>(shared.get()) + 15) / 16 * 16);
  BlockRunner runner(kernel, block, body, argument);
  BlockRunner* const outer = block_runner;
  block_runner = &runner;
  running.block_size = block;
  running.grid_size = grid;
  running.dynamic_shared = aligned;
  try {
    for (unsigned z = 0; z < grid.z; ++z) {
      for (unsigned y = 0; y < grid.y; ++y) {
        for (unsigned x = 0; x < grid.x; ++x) {
          running.block_index = {x, y, z};
          std::memset(aligned, 0xFF, shared_bytes);
          runner.run();
        }
      }
    }
  } catch (...) {
    block_runner = outer;
    throw;
  }
  block_runner = outer;
}

void block_barrier() { block_runner->barrier(); }

void enqueue_copy(void* to, const void* from) {
  constexpr std::uintptr_t kBytes = 16;
  if (reinterpret_cast<std::uintptr_t>(to) % kBytes != 0 ||
      reinterpret_cast<std::uintptr_t>(from) % kBytes != 0) {
    fault("an asynchronous copy is misaligned");
  }
  block_runner->enqueue_copy(to, from);
}

void make_copies() { block_runner->make_copies(); }

void fault(const char* what) { block_runner->fault(what); }

void warp_operation(void* mine, void (*combine)(void* const* slots)) {
  block_runner->operate(mine, combine);
}

}  // namespace itemcrop::cuda::emulation
