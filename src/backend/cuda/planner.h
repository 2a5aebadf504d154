#pragma once

#include <memory>

#include "backend/cuda/device.h"
#include "ops/executor.h"

namespace itemcrop::cuda {

/// ops::make_planner()'s checks, with an arena that also holds what this backend's ops take: the
/// executor itself rehearses, so its calls need exactly what was measured.
std::unique_ptr<ops::Executor> make_cuda_planner(std::shared_ptr<const DeviceState> device);

}  // namespace itemcrop::cuda
