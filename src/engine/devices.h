#pragma once

#include <memory>

#include "itemcrop/model.h"

#include "ops/backend.h"

namespace itemcrop::engine {

/// What a call asked for of a device, with nothing left automatic: weights are prepared once for
/// each.
struct BackendSpec {
  Device device = Device::kCpu;
  int index = 0;
  Precision precision = Precision::kFp32;
  bool deterministic = false;  ///< always false on a CPU, whose results are batch-invariant anyway

  auto operator<=>(const BackendSpec&) const = default;
};

/// Resolves kAuto. Throws Error(kUnsupportedDevice) that says why a device cannot be used.
BackendSpec resolve_backend(const DetectOptions& options);

/// Throws Error(kUnsupportedDevice) if the device does not run the precision.
std::shared_ptr<const ops::Backend> make_backend(const BackendSpec& spec);

}  // namespace itemcrop::engine
