#pragma once

#include <compare>
#include <string>

#include "itemcrop/model.h"

namespace itemcrop::scheduler {

/// One device of this machine, with nothing left automatic. The CPU is one device, index 0.
struct DeviceId {
  Device device = Device::kCpu;  ///< never kAuto
  int index = 0;

  auto operator<=>(const DeviceId&) const = default;
};

/// "cpu", "cuda:0": what metrics and messages call it.
std::string to_string(const DeviceId& id);

/// Resolves Device::kAuto: the GPU of that index if it is usable, else the CPU.
DeviceId resolve_device(Device device, int index);

}  // namespace itemcrop::scheduler
