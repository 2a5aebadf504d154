#include "scheduler/device_id.h"

#include <algorithm>
#include <vector>

namespace itemcrop::scheduler {

std::string to_string(const DeviceId& id) {
  std::string text(to_string(id.device));
  if (id.device != Device::kCpu) text += ":" + std::to_string(id.index);
  return text;
}

DeviceId resolve_device(Device device, int index) {
  if (device == Device::kAuto) {
    const std::vector<DeviceInfo> devices = list_devices();
    const bool usable = std::ranges::any_of(devices, [&](const DeviceInfo& gpu) {
      return gpu.device == Device::kCuda && gpu.usable && gpu.index == index;
    });
    device = usable ? Device::kCuda : Device::kCpu;
  }
  return {device, device == Device::kCpu ? 0 : index};
}

}  // namespace itemcrop::scheduler
