#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

/// Faults that tests give to the emulated device: every thread's, as memory that one thread takes
/// another may free.
namespace itemcrop::cuda::emulation {

/// Bytes of device memory; an allocation past them is out of memory.
inline constinit std::atomic<std::size_t> memory_limit = SIZE_MAX;
/// Bytes of device memory in use.
inline constinit std::atomic<std::size_t> memory_used = 0;
/// Every call after it fails as those of a lost device do.
inline constinit std::atomic<bool> device_lost = false;
/// Graphs cannot be recorded.
inline constinit std::atomic<bool> graphs_fail = false;

}  // namespace itemcrop::cuda::emulation
