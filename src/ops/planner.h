#pragma once

#include <memory>

#include "ops/executor.h"

namespace itemcrop::ops {

/// An executor that computes nothing: it checks every op's shapes against its contract (throwing
/// Error(kInternal) that names the op) and measures the arena. Running the model on it before the
/// real executor sizes the arena exactly, gives memory estimates and keeps bad shapes away from
/// kernels. Its matrices must not be read or written; download() leaves the host memory alone.
std::unique_ptr<Executor> make_planner(DType activation_dtype);

}  // namespace itemcrop::ops
