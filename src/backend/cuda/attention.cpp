#include "backend/cuda/kernels/attention.h"

#include "backend/cuda/descriptors.h"
#include "backend/cuda/kernels/deformable.h"
#include "backend/cuda/kernels/fusion.h"
#include "backend/cuda/kernels/plan.h"
#include "backend/cuda/kernels/rows.h"
#include "backend/cuda/op.h"

namespace itemcrop::cuda {

void CudaExecutor::window_attention(Matrix x, std::span<const ops::Grid> grids,
                                    const ops::WindowGeometry& geometry,
                                    const ops::WindowAttentionWeights& weights) {
  const Op op(*this, "window_attention", weights.qkv.get());
  const DeviceLinear& qkv_weight = on_device(*weights.qkv);
  const DType type = qkv_weight.dtype();
  // Norm and product run on the maps as they are: what windows pad is the same value everywhere.
  const Matrix normal = allocate(x.rows, x.cols, type);
  const Matrix qkv = allocate(x.rows, 3 * x.cols, type);
  normalise(x, weights.norm, normal);
  multiply(normal, *weights.qkv, qkv);

  struct Maps {
    Array<kernels::WindowMap> maps;
    std::int64_t windows = 0;
  };
  std::string key = "windows";
  key << grids << geometry.window << geometry.shift;
  const Maps& maps = remembered<Maps>(std::move(key), [&] {
    const kernels::WindowPlan plan = kernels::plan_windows(grids, geometry);
    return Maps{staged(plan.maps), plan.windows};
  });
  const Matrix attended = normal;  // its values are spent
  launch(kernels::launch_window_attention, {.qkv = qkv,
                                            .y = attended,
                                            .qkv_bias = qkv_weight.bias(),
                                            .bias = weights.bias->data(),
                                            .maps = maps.maps.data,
                                            .map_count = maps.maps.count(),
                                            .windows = maps.windows,
                                            .window = geometry.window,
                                            .shift = geometry.shift,
                                            .heads = geometry.heads});
  multiply(attended, *weights.output, x, ops::Activation::kNone, x);
}

void CudaExecutor::attention(const ops::AttentionArgs& args, Matrix y) {
  const Op op(*this, "attention");
  const bool same =
      args.query.dtype == y.dtype && args.key.dtype == y.dtype && args.value.dtype == y.dtype;
  const DType type = same ? y.dtype : DType::kF32;
  const Matrix result = same ? y : allocate(y.rows, y.cols, type);
  const Array<kernels::Tile> tiles = this->tiles(args.query_segments, kernels::kAttentionTileRows);
  const std::int32_t* blocks = nullptr;
  if (!args.blocks.empty()) {
    std::string key = "blocks";
    key << args.blocks;
    blocks =
        remembered<Array<std::int32_t>>(std::move(key), [&] { return staged(args.blocks); }).data;
  }
  launch(kernels::launch_attention, {.query = as(args.query, type),
                                     .key = as(args.key, type),
                                     .value = as(args.value, type),
                                     .y = result,
                                     .query_segments = segments(args.query_segments).data,
                                     .key_segments = segments(args.key_segments).data,
                                     .tiles = tiles.data,
                                     .tile_count = tiles.count(),
                                     .heads = args.heads,
                                     .scale = args.scale,
                                     .blocks = blocks});
  if (!same) launch(kernels::launch_copy, {.x = result, .y = y});
}

void CudaExecutor::folded_fusion(const ops::FoldedFusionArgs& args) {
  const Op op(*this, "folded_fusion");
  struct Plan {
    Array<kernels::FusionSample> samples;
    Array<kernels::Tile> vision, context;
    std::int64_t most_columns = 0;
    std::size_t workspace_bytes = 0;
  };
  std::string key = "fusion";
  key << args.vision_segments << args.folded_segments << args.vision.cols << args.keys.rows;
  const Plan& plan = remembered<Plan>(std::move(key), [&] {
    const kernels::FusionPlan made = kernels::plan_fusion(
        args.vision_segments, args.folded_segments, args.vision.cols, args.keys.rows);
    return Plan{staged(made.samples), staged(made.vision_tiles), staged(made.context_tiles),
                made.most_columns, made.workspace_bytes};
  });
  const Matrix workspace = allocate(1, static_cast<std::int64_t>(plan.workspace_bytes), DType::kU8);
  launch(kernels::launch_folded_fusion, {.vision = args.vision,
                                         .keys = args.keys,
                                         .key_bias = args.key_bias,
                                         .values = args.values,
                                         .context = args.context,
                                         .samples = plan.samples.data,
                                         .sample_count = plan.samples.count(),
                                         .vision_tiles = plan.vision.data,
                                         .vision_tile_count = plan.vision.count(),
                                         .context_tiles = plan.context.data,
                                         .context_tile_count = plan.context.count(),
                                         .most_columns = plan.most_columns,
                                         .heads = args.heads,
                                         .norm_weight = args.norm->weight->data(),
                                         .norm_bias = args.norm->bias->data(),
                                         .epsilon = args.norm->epsilon,
                                         .output_bias = args.output_bias->data(),
                                         .gamma = args.gamma->data(),
                                         .workspace = workspace.data});
}

void CudaExecutor::deformable_attention(const ops::DeformableArgs& args) {
  const Op op(*this, args.reference.empty() ? "deformable_attention (cells)"
                                            : "deformable_attention (queries)");
  const ops::DeformableWeights& weights = *args.weights;
  const Matrix sampling = allocate(args.query.rows, weights.sampling->outputs(), DType::kF32);
  const Matrix sampled = allocate(args.query.rows, args.value.cols, args.value.dtype);
  {
    const ops::ArenaScope scope(*this);
    const Matrix placed =
        allocate(args.query.rows, args.query.cols, on_device(*weights.sampling).dtype());
    launch(kernels::launch_add, {.a = args.query, .b = args.position, .y = placed});
    multiply(placed, *weights.sampling, sampling);
  }

  const bool cells = args.reference.empty();
  const std::vector<ops::Grid> flat = kernels::flatten(args.pyramids);
  std::string key = cells ? "cells" : "queries";
  key << flat << args.query_segments;
  const auto& tiles = remembered<Array<kernels::DeformableTile>>(std::move(key), [&] {
    return staged(cells ? kernels::deformable_cell_tiles(args.pyramids, args.query_segments)
                        : kernels::deformable_query_tiles(args.query_segments));
  });
  launch(kernels::launch_deformable,
         {.sampling = sampling,
          .reference = args.reference,
          .value = args.value,
          .y = sampled,
          .levels = grids(flat).data,
          .level_count = static_cast<int>(args.pyramids.front().levels.size()),
          .tiles = tiles.data,
          .tile_count = tiles.count(),
          .heads = args.heads,
          .points = args.points});

  const DType type = on_device(*weights.output).dtype();
  const Matrix projected = allocate(args.query.rows, args.query.cols, type);
  multiply(sampled, *weights.output, projected);
  normalise(projected, weights.norm, args.output, args.query);
}

}  // namespace itemcrop::cuda
