#include "backend/cuda/kernels/attention.h"

#include <algorithm>

#include "backend/cuda/descriptors.h"
#include "backend/cuda/executor.h"
#include "backend/cuda/kernels/deformable.h"
#include "backend/cuda/kernels/fusion.h"
#include "backend/cuda/kernels/plan.h"
#include "backend/cuda/kernels/rows.h"
#include "backend/cuda/pieces.h"

namespace itemcrop::cuda {

void CudaExecutor::execute(const ops::WindowAttention& op) {
  if (op.grids.empty()) return;
  const auto row_bytes = 3 * static_cast<std::size_t>(op.x.cols) * size_of(op.x.dtype);
  for (const std::span<const ops::Grid> piece :
       pieces_of(op.grids, piece_rows(op.x.rows, row_bytes))) {
    attend_in_windows(op.x, piece, op.geometry, op.weights);
  }
}

void CudaExecutor::attend_in_windows(Matrix x, std::span<const ops::Grid> all_grids,
                                     const ops::WindowGeometry& geometry,
                                     const ops::WindowAttentionWeights& weights) {
  const ops::ArenaScope scope(*this);
  std::vector<ops::Grid> grids(all_grids.begin(), all_grids.end());
  std::int64_t first = grids.front().begin;
  std::int64_t end = 0;
  for (const ops::Grid& grid : grids) {
    first = std::min(first, grid.begin);
    end = std::max(end, grid.begin + grid.rows());
  }
  for (ops::Grid& grid : grids) grid.begin -= first;
  x = x.row_range(first, end - first);

  const DeviceLinear& qkv_weight = on_device(*weights.qkv);
  const DType type = qkv_weight.dtype();
  // Norm and product run on the maps as they are: what windows pad is the same value everywhere.
  const Matrix qkv = allocate(x.rows, 3 * x.cols, type);
  const Matrix attended = allocate(x.rows, x.cols, type);
  const Matrix normal = attended;  // not yet in use
  normalise(x, weights.norm, normal);
  multiply(normal, *weights.qkv, qkv);

  struct Maps {
    Array<kernels::WindowMap> maps;
    std::int64_t windows = 0;
  };
  std::string key = "windows";
  key << grids << geometry.window << geometry.shift;
  const Maps& maps = cached<Maps>(std::move(key), [&] {
    const kernels::WindowPlan plan = kernels::plan_windows(grids, geometry);
    return Maps{staged(plan.maps), plan.windows};
  });
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

void CudaExecutor::execute(const ops::Attention& op) {
  const bool same =
      op.query.dtype == op.y.dtype && op.key.dtype == op.y.dtype && op.value.dtype == op.y.dtype;
  const DType type = same ? op.y.dtype : DType::kF32;
  const Matrix result = same ? op.y : allocate(op.y.rows, op.y.cols, type);
  const Array<kernels::Tile> tiles = this->tiles(op.query_segments, kernels::kAttentionTileRows);
  const std::int32_t* blocks = nullptr;
  if (!op.blocks.empty()) {
    std::string key = "blocks";
    key << op.blocks;
    blocks = cached<Array<std::int32_t>>(std::move(key), [&] { return staged(op.blocks); }).data;
  }
  launch(kernels::launch_attention, {.query = as(op.query, type),
                                     .key = as(op.key, type),
                                     .value = as(op.value, type),
                                     .y = result,
                                     .query_segments = segments(op.query_segments).data,
                                     .key_segments = segments(op.key_segments).data,
                                     .tiles = tiles.data,
                                     .tile_count = tiles.count(),
                                     .heads = op.heads,
                                     .scale = op.scale,
                                     .blocks = blocks});
  if (!same) launch(kernels::launch_copy, {.x = result, .y = op.y});
}

void CudaExecutor::execute(const ops::FoldedFusion& op) {
  struct Plan {
    Array<kernels::FusionSample> samples;
    Array<kernels::Tile> short_chunks, vision, context;
    std::int64_t max_columns = 0;
    std::size_t workspace_bytes = 0;
    std::size_t partial_bytes = 0;
    Array<kernels::FusionChunk> chunks;
    std::int64_t padded_rows = 0;
    std::int64_t max_padded = 0;
    std::vector<ops::Segment> to_normalise;  ///< runs of vision rows
  };
  const int multiprocessors = device_->properties.multiprocessors;
  const bool hopper = device_->fusions && op.vision.stride % 8 == 0 &&
                      kernels::fits_hopper_fusion(op.vision.cols, op.vision.dtype, op.heads);
  std::string key = "fusion";
  key << op.vision_segments << op.folded_segments << op.vision.cols << op.keys.rows << op.heads
      << static_cast<std::int64_t>(op.vision.dtype);
  const Plan& plan = cached<Plan>(std::move(key), [&] {
    const kernels::FusionPlan made =
        kernels::plan_fusion(op.vision_segments, op.folded_segments, op.vision.cols, op.keys.rows,
                             op.heads, op.vision.dtype, multiprocessors, hopper);
    std::vector<ops::Segment> to_normalise;
    for (const kernels::FusionSample& sample : made.samples) {
      if (sample.padded.rows == 0) continue;
      if (to_normalise.empty() || to_normalise.back().end() != sample.vision.begin) {
        to_normalise.push_back({sample.vision.begin, 0});
      }
      to_normalise.back().rows += sample.vision.rows;
    }
    return Plan{.samples = staged(made.samples),
                .short_chunks = staged(made.short_tiles),
                .vision = staged(made.vision_tiles),
                .context = staged(made.context_tiles),
                .max_columns = made.max_columns,
                .workspace_bytes = made.workspace_bytes,
                .partial_bytes = made.partial_bytes,
                .chunks = staged(made.chunks),
                .padded_rows = made.padded_rows,
                .max_padded = made.max_padded,
                .to_normalise = std::move(to_normalise)};
  });
  for (const ops::Segment& rows : plan.to_normalise) {
    const Matrix x = op.vision.row_range(rows.begin, rows.rows);
    normalise(x, *op.norm, x);
  }
  const Matrix workspace = allocate(1, static_cast<std::int64_t>(plan.workspace_bytes), DType::kU8);
  const std::size_t bias_bytes = static_cast<std::size_t>(plan.padded_rows) * sizeof(float);
  std::byte* const end = static_cast<std::byte*>(workspace.data) + plan.workspace_bytes;
  // The context is the text's alone, so its sums are merged beside the image, from memory of that
  // branch: what takes it next comes after the merge.
  std::size_t side_mark = 0;
  Matrix partials;
  {
    const ops::BranchScope side(*this, ops::Branch::kSide);
    side_mark = arena_mark();
    partials = allocate(1, static_cast<std::int64_t>(plan.partial_bytes), DType::kU8);
  }
  const kernels::FusionParams params{
      .vision = op.vision,
      .keys = op.keys,
      .key_bias = op.key_bias,
      .values = op.values,
      .context = op.context,
      .samples = plan.samples.data,
      .sample_count = plan.samples.count(),
      .short_tiles = plan.short_chunks.data,
      .short_tile_count = plan.short_chunks.count(),
      .vision_tiles = plan.vision.data,
      .vision_tile_count = plan.vision.count(),
      .context_tiles = plan.context.data,
      .context_tile_count = plan.context.count(),
      .max_columns = plan.max_columns,
      .heads = op.heads,
      .norm = {op.norm->weight->data(), op.norm->bias->data(), op.norm->epsilon},
      .output_bias = op.output_bias->data(),
      .gamma = op.gamma->data(),
      .workspace = workspace.data,
      .partials = static_cast<float*>(partials.data),
      .hopper = {.chunks = plan.chunks.data,
                 .chunk_count = plan.chunks.count(),
                 .padded_rows = plan.padded_rows,
                 .max_padded = plan.max_padded,
                 .padded_bias = reinterpret_cast<float*>(end - bias_bytes)},
      .multiprocessors = multiprocessors};
  launch(kernels::launch_folded_fusion, params);
  const ops::BranchScope side(*this, ops::Branch::kSide);
  launch(kernels::launch_fusion_merge, params);
  arena_release(side_mark);
}

void CudaExecutor::execute(const ops::DeformableAttention& op) {
  const bool cells = op.reference.empty();
  const ops::DeformableWeights& weights = *op.weights;
  const DType operand = on_device(*weights.sampling).dtype();
  const std::int64_t samples = weights.sampling->outputs();
  const auto row_bytes = static_cast<std::size_t>(samples) * sizeof(float) +
                         static_cast<std::size_t>(op.value.cols) * size_of(op.value.dtype);

  const std::vector<ops::Grid> flat = kernels::flatten(op.pyramids);
  struct Tiles {
    Array<kernels::DeformableTile> tiles;
    std::vector<TilePiece> pieces;
  };
  std::string key = cells ? "cells" : "queries";
  key << flat << op.query_segments << static_cast<std::int64_t>(row_bytes);
  const auto& tiles = cached<Tiles>(std::move(key), [&] {
    const std::vector<kernels::DeformableTile> made =
        cells ? kernels::deformable_cell_tiles(op.pyramids, op.query_segments)
              : kernels::deformable_query_tiles(op.query_segments);
    return Tiles{staged(made),
                 pieces_of(made, flat, static_cast<std::int64_t>(op.pyramids.front().levels.size()),
                           piece_rows(op.query.rows, row_bytes))};
  });
  std::int64_t most = 0;
  for (const TilePiece& piece : tiles.pieces) most = std::max(most, piece.rows);
  const Matrix sampling_rows = allocate(most, samples, DType::kF32);
  const Matrix sampled_rows = allocate(most, op.value.cols, op.value.dtype);
  // A cell's position is the sum of two rows of a small table, and a product is linear: sampling
  // adds their projections, so that no sum of all queries and positions goes through memory.
  const Matrix axes = cells ? allocate(op.position.rows, samples, DType::kF32) : Matrix{};
  if (cells) multiply(op.position, on_device(*weights.sampling).without_bias(), axes);

  for (const TilePiece& piece : tiles.pieces) {
    const ops::ArenaScope scope(*this);
    const Matrix query = op.query.row_range(piece.first_row, piece.rows);
    const Matrix output = op.output.row_range(piece.first_row, piece.rows);
    const Matrix sampling = sampling_rows.row_range(0, piece.rows);
    const Matrix sampled = sampled_rows.row_range(0, piece.rows);
    if (cells) {
      multiply(query, *weights.sampling, sampling);
    } else {
      const ops::ArenaScope placed_scope(*this);
      const Matrix placed = allocate(piece.rows, query.cols, operand);
      const Matrix position = op.position.row_range(piece.first_row, piece.rows);
      launch(kernels::launch_add, {.a = query, .b = position, .y = placed});
      multiply(placed, *weights.sampling, sampling);
    }
    launch(kernels::launch_deformable,
           {.sampling = sampling,
            .axes = axes,
            .reference = op.reference,
            .value = op.value,
            .y = sampled,
            .first_row = piece.first_row,
            .levels = grids(flat).data,
            .level_count = static_cast<int>(op.pyramids.front().levels.size()),
            .tiles = tiles.tiles.data + piece.first_tile,
            .tile_count = static_cast<int>(piece.tiles),
            .heads = op.heads,
            .points = op.points});
    multiply_and_normalise(sampled, *weights.output, weights.norm, output, query);
  }
}

}  // namespace itemcrop::cuda
