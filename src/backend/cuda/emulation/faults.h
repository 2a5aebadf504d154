#pragma once

#include <cstddef>
#include <cstdint>

/// Faults that tests give to the emulated device, of the calling thread.
namespace itemcrop::cuda::emulation {

/// Bytes of device memory; an allocation past them is out of memory.
inline constinit thread_local std::size_t memory_limit = SIZE_MAX;
/// Bytes of device memory in use.
inline constinit thread_local std::size_t memory_used = 0;
/// Every call after it fails as those of a lost device do.
inline constinit thread_local bool device_lost = false;
/// Graphs cannot be recorded.
inline constinit thread_local bool graphs_fail = false;

}  // namespace itemcrop::cuda::emulation
