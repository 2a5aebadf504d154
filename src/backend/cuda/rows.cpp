#include "backend/cuda/kernels/rows.h"

#include "backend/cuda/descriptors.h"
#include "backend/cuda/executor.h"
#include "backend/cuda/kernels/norm.h"
#include "backend/cuda/kernels/plan.h"

namespace itemcrop::cuda {

void CudaExecutor::execute(const ops::LayerNorm& op) { normalise(op.x, op.norm, op.y); }

void CudaExecutor::execute(const ops::GroupNorm& op) {
  const kernels::GroupNormPlan plan = kernels::plan_group_norm(op.from, op.to, op.groups);
  const Array<kernels::GroupNormSegment> segments = staged(plan.segments);
  const Array<kernels::Tile> tiles = staged(plan.tiles);
  const Matrix workspace = allocate(1, static_cast<std::int64_t>(plan.workspace_bytes), DType::kU8);
  launch(kernels::launch_group_norm, {.x = op.x,
                                      .y = op.y,
                                      .segments = segments.data,
                                      .segment_count = segments.count(),
                                      .tiles = tiles.data,
                                      .tile_count = tiles.count(),
                                      .groups = op.groups,
                                      .weight = op.norm.weight->data(),
                                      .bias = op.norm.bias->data(),
                                      .epsilon = op.norm.epsilon,
                                      .workspace = static_cast<float*>(workspace.data)});
}

void CudaExecutor::execute(const ops::Add& op) {
  launch(kernels::launch_add, {.a = op.a, .b = op.b, .y = op.y});
}

void CudaExecutor::execute(const ops::AddScaled& op) {
  launch(kernels::launch_add, {.a = op.a, .b = op.b, .y = op.y, .scale = op.scale.data()});
}

void CudaExecutor::execute(const ops::DotRows& op) {
  // A product with one output.
  if (join_small_products(op.x, op.vector.data(), op.x.cols, nullptr, op.y, ops::Activation::kNone))
    return;
  launch(kernels::launch_dot_rows, {.x = op.x, .vector = op.vector.data(), .y = op.y});
}

void CudaExecutor::execute(const ops::EmbedTokens& op) {
  launch(kernels::launch_embed, {.ids = staged(op.ids).data,
                                 .position_ids = staged(op.position_ids).data,
                                 .words = op.words.data(),
                                 .positions = op.positions.data(),
                                 .types = op.types.data(),
                                 .y = op.y});
}

}  // namespace itemcrop::cuda
