#include "ops/backend.h"

#include "ops/planner.h"

namespace itemcrop::ops {

std::unique_ptr<Executor> Backend::make_planner() const { return ops::make_planner(DType::kF32); }

}  // namespace itemcrop::ops
