#pragma once

#include "backend/cuda/kernels/layout.h"

namespace itemcrop::cuda::kernels {

/// Vision rows that a thread block works on at a time.
inline constexpr std::int64_t kFusionTileRows = 64;
/// Folded columns (heads * tokens) per thread block of the context side.
inline constexpr std::int64_t kFusionColumns = 64;
/// A short text's heads start at multiples of these columns, and all fit in kFusionColumns.
inline constexpr std::int64_t kFusionUnit = 16;
/// Most chunks of rows whose context is summed apart, counting each kFusionColumns columns; fewer
/// where a device has fewer multiprocessors.
inline constexpr std::int64_t kFusionChunks = 256;
/// Widths of vision rows for which there are kernels that keep 64 columns' sums in registers.
inline bool fusion_width_fits(std::int64_t dim, DType dtype) {
  return size_of(dtype) == 2 && dim % 64 == 0 && dim <= 256;
}

struct FusionSample {
  Segment vision;
  Segment folded;                  ///< rows of keys, values, context
  std::int64_t first_partial = 0;  ///< partial sums: one row a chunk and column
  std::int32_t chunk_rows = 0;
  std::int32_t chunks = 0;
  /// Of HopperFusion: where its keys lie when every head has `padded_tokens` of them.
  Segment padded;
  std::int32_t padded_tokens = 0;
};

/// Rows of a sample with a long text whose context a block sums for two tiles' columns.
struct FusionChunk {
  std::int32_t sample = 0;
  std::int32_t column = 0;  ///< first of the padded keys
  std::int32_t number = 0;  ///< of the partial sums
  std::int32_t row = 0;
  std::int32_t rows = 0;
};

/// What long texts need besides if they are fused by wgmma (fusion_hopper.cu): their vision rows
/// are normalised already. No padded rows: they are not.
struct HopperFusion {
  const FusionChunk* chunks = nullptr;
  int chunk_count = 0;
  std::int64_t padded_rows = 0;
  std::int64_t max_padded = 0;  ///< of a sample
  float* padded_bias = nullptr;
};
inline constexpr int kHopperFusionHeads = 8;  ///< at most
/// Whether the selected device can; the emulation cannot.
bool hopper_fusion_works();
/// Whether that is for such rows. Rows begin at multiples of 16 bytes.
bool fits_hopper_fusion(std::int64_t dim, DType dtype, int heads);

/// ops::FoldedFusion; plan_fusion() makes samples, tiles and sizes. d <= 256.
/// Short texts: one kernel reads and updates the vision rows once and sums the context by chunk;
/// then the chunks' merge. Long texts: context by chunk, merge, vision side in place.
struct FusionParams {
  Matrix vision;                  ///< [N, d], in and out
  Matrix keys, key_bias, values;  ///< kF32
  Matrix context;                 ///< kF32, out
  const FusionSample* samples = nullptr;
  int sample_count = 0;
  const Tile* short_tiles = nullptr;  ///< chunks of samples with short texts
  int short_tile_count = 0;
  const Tile* vision_tiles = nullptr;  ///< these two: of samples with long texts
  int vision_tile_count = 0;
  const Tile* context_tiles = nullptr;
  int context_tile_count = 0;
  std::int64_t max_columns = 0;
  int heads = 1;
  RowNorm norm;
  const float* output_bias = nullptr;  ///< [d]
  const float* gamma = nullptr;        ///< [d]
  void* workspace = nullptr;           ///< FusionPlan::workspace_bytes
  float* partials = nullptr;           ///< FusionPlan::partial_bytes
  HopperFusion hopper;
  int multiprocessors = 132;
};
/// All but the context, of which it leaves partial sums.
void launch_folded_fusion(Stream stream, const FusionParams& params);
/// The context, which the vision side does not wait for.
void launch_fusion_merge(Stream stream, const FusionParams& params);

}  // namespace itemcrop::cuda::kernels
