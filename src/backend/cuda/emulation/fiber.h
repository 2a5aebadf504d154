#pragma once

#include <cstddef>
#include <memory>

/// Stackful coroutines of one operating-system thread.
namespace itemcrop::cuda::emulation {

/// A stack and where its code stands. Not movable once started.
class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Forgets what the fiber was doing; resume() then begins entry(argument), which must end by
  /// leaving for good with suspend().
  void start(void (*entry)(void*), void* argument);

  /// Runs the fiber until it suspends itself. Called outside of any fiber.
  void resume();
  /// Called by the running fiber.
  void suspend();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace itemcrop::cuda::emulation
