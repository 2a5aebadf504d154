#include "backend/cuda/kernels/rows.h"

#include "backend/cuda/descriptors.h"
#include "backend/cuda/kernels/norm.h"
#include "backend/cuda/kernels/plan.h"
#include "backend/cuda/op.h"

namespace itemcrop::cuda {

void CudaExecutor::layer_norm(Matrix x, const ops::Norm& norm, Matrix y) {
  const Op op(*this, "layer_norm");
  normalise(x, norm, y);
}

void CudaExecutor::group_norm(Matrix x, std::span<const ops::Segment> from, int groups,
                              const ops::Norm& norm, Matrix y, std::span<const ops::Segment> to) {
  const Op op(*this, "group_norm");
  const kernels::GroupNormPlan plan = kernels::plan_group_norm(from, to, groups);
  const Array<kernels::GroupNormSegment> segments = staged(plan.segments);
  const Array<kernels::Tile> tiles = staged(plan.tiles);
  const Matrix workspace = allocate(1, static_cast<std::int64_t>(plan.workspace_bytes), DType::kU8);
  launch(kernels::launch_group_norm, {.x = x,
                                      .y = y,
                                      .segments = segments.data,
                                      .segment_count = segments.count(),
                                      .tiles = tiles.data,
                                      .tile_count = tiles.count(),
                                      .groups = groups,
                                      .weight = norm.weight->data(),
                                      .bias = norm.bias->data(),
                                      .epsilon = norm.epsilon,
                                      .workspace = static_cast<float*>(workspace.data)});
}

void CudaExecutor::add(Matrix a, Matrix b, Matrix y) {
  const Op op(*this, "add");
  launch(kernels::launch_add, {.a = a, .b = b, .y = y});
}

void CudaExecutor::add_scaled(Matrix a, const ops::Constant& scale, Matrix b, Matrix y) {
  const Op op(*this, "add_scaled");
  launch(kernels::launch_add, {.a = a, .b = b, .y = y, .scale = scale.data()});
}

void CudaExecutor::dot_rows(Matrix x, const ops::Constant& vector, Matrix y) {
  const Op op(*this, "dot_rows");
  // A product with one output.
  if (join_small_products(x, vector.data(), x.cols, nullptr, y, ops::Activation::kNone)) return;
  launch(kernels::launch_dot_rows, {.x = x, .vector = vector.data(), .y = y});
}

void CudaExecutor::embed_tokens(std::span<const std::int32_t> ids,
                                std::span<const std::int32_t> position_ids,
                                const ops::Constant& words, const ops::Constant& positions,
                                const ops::Constant& types, Matrix y) {
  const Op op(*this, "embed_tokens");
  launch(kernels::launch_embed, {.ids = staged(ids).data,
                                 .position_ids = staged(position_ids).data,
                                 .words = words.data(),
                                 .positions = positions.data(),
                                 .types = types.data(),
                                 .y = y});
}

}  // namespace itemcrop::cuda
