#pragma once

#include <memory>
#include <vector>

#include "itemcrop/model.h"

#include "ops/backend.h"

namespace itemcrop::cuda {

/// NVIDIA GPUs seen by this process, usable or not; never empty and never throws: where there is
/// none, one unusable entry says why.
std::vector<DeviceInfo> list_devices();

/// `deterministic`: DetectOptions. Throws Error(kUnsupportedDevice) that says what is missing.
std::shared_ptr<const ops::Backend> make_cuda_backend(int index, Precision precision,
                                                      bool deterministic);

}  // namespace itemcrop::cuda
