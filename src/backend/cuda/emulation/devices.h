#pragma once

#include <stdexcept>
#include <string>

/// Two emulated GPUs. Their memory is one, but a thread works on the one that it has selected.
namespace itemcrop::cuda::emulation {

inline constexpr int kDevices = 2;

inline constinit thread_local int selected_device = 0;

/// What a Stream points at.
struct StreamOfDevice {
  int device;
};

/// As with CUDA, a thread gives work only to streams of the device that it has selected. No stream:
/// a test of kernels alone.
inline void require_selected(const void* stream, const char* action) {
  if (stream == nullptr) return;
  const int device = static_cast<const StreamOfDevice*>(stream)->device;
  if (device == selected_device) return;
  throw std::logic_error(std::string("GPU: ") + action + " on device " + std::to_string(device) +
                         " while device " + std::to_string(selected_device) + " is selected");
}

}  // namespace itemcrop::cuda::emulation
