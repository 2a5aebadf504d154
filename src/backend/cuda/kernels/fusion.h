#pragma once

#include "backend/cuda/kernels/layout.h"

namespace itemcrop::cuda::kernels {

/// Vision rows per tile of the vision side.
inline constexpr std::int64_t kFusionTileRows = 64;
/// Folded columns (heads * tokens) per thread block of the context side.
inline constexpr std::int64_t kFusionColumns = 64;
/// Vision rows whose context is summed by one thread block, for each kFusionColumns of a sample's
/// columns: a sample with more columns has more blocks anyway, and partial sums cost memory.
inline constexpr std::int64_t kFusionChunkRows = 256;

struct FusionSample {
  Segment vision;
  Segment folded;                  ///< rows of keys, values, context
  std::int64_t first_partial = 0;  ///< partial sums: one row a chunk and column
  std::int32_t chunk_rows = 0;
  std::int32_t chunks = 0;
};

/// ops::FoldedFusionArgs; plan_fusion() makes samples, tiles and sizes. d <= 256.
/// Three kernels: context sums by chunk, their merge, then the vision side in place.
struct FusionParams {
  Matrix vision;                  ///< [N, d], in and out
  Matrix keys, key_bias, values;  ///< kF32
  Matrix context;                 ///< kF32, out
  const FusionSample* samples = nullptr;
  int sample_count = 0;
  const Tile* vision_tiles = nullptr;
  int vision_tile_count = 0;
  const Tile* context_tiles = nullptr;
  int context_tile_count = 0;
  std::int64_t most_columns = 0;
  int heads = 1;
  RowNorm norm;
  const float* output_bias = nullptr;  ///< [d]
  const float* gamma = nullptr;        ///< [d]
  void* workspace = nullptr;           ///< FusionPlan::workspace_bytes
};
void launch_folded_fusion(Stream stream, const FusionParams& params);

}  // namespace itemcrop::cuda::kernels
