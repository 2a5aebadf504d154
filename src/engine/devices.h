#pragma once

#include <memory>

#include "itemcrop/model.h"

#include "ops/backend.h"

namespace itemcrop::engine {

/// A device and precision a call asked for, with nothing left automatic.
struct Target {
  Device device = Device::kCpu;
  int index = 0;
  Precision precision = Precision::kFp32;
  bool deterministic = false;  ///< GPU only: the CPU knows nothing else

  auto operator<=>(const Target&) const = default;
};

/// Resolves kAuto. Throws Error(kUnsupportedDevice) that says why a device cannot be used.
Target resolve_target(const DetectOptions& options);

/// Throws Error(kUnsupportedDevice) if the device does not run the precision.
std::shared_ptr<const ops::Backend> make_backend(const Target& target);

}  // namespace itemcrop::engine
