#pragma once

#include <cstddef>
#include <cstdint>

/// Runs kernels on the CPU: blocks one after another, the threads of a block as fibers that switch
/// at barriers and warp operations. What a GPU would hang on or leave undefined is an error here:
/// threads that miss a barrier, lanes of a warp at different operations.
namespace itemcrop::cuda::emulation {

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
};

/// What the running thread of a kernel sees.
struct State {
  Dim3 thread_index, block_index, block_size, grid_size;
  unsigned lane = 0;
  unsigned char* dynamic_shared = nullptr;
};
inline constinit thread_local State running;

/// In which order the threads of a block run between barriers. A right kernel gives the same bits
/// in any order; one that misses a barrier mostly does not.
enum class Order : std::uint8_t { kForward, kBackward };
inline constinit thread_local Order order = Order::kForward;

inline constexpr unsigned kLanes = 32;

/// Calls body(argument) once for every thread of the grid. Throws std::logic_error that names the
/// kernel, block and thread. Dynamic shared memory starts as a pattern that is NaN in all types.
void run_grid(const char* kernel, Dim3 grid, Dim3 block, std::size_t shared_bytes,
              void (*body)(void*), void* argument);

// For the running thread:
void block_barrier();
/// A copy of 16 bytes that is made when the thread waits for it, and not before.
void enqueue_copy(void* to, const void* from);
void make_copies();
/// Ends the running thread; the launch throws std::logic_error with `what`.
void fault(const char* what);
/// Waits for the warp's 32 lanes; the last to arrive calls combine(what each lane brought).
void warp_operation(void* mine, void (*combine)(void* const* slots));

}  // namespace itemcrop::cuda::emulation
