#pragma once

#include "backend/cuda/kernels/layout.h"

namespace itemcrop::cuda::kernels {

/// Rows per tile of similarities: tiles_of(segments, this).
inline constexpr std::int64_t kSimilarityTileRows = 64;

/// y[q, t] = scale * (x[q] . text[t]) + bias within each segment pair; columns past the segment's
/// tokens are -inf.
/// Types of x and text may differ; products and sums are fp32.
struct SimilarityParams {
  Matrix x;
  const Segment* segments = nullptr;
  Matrix text;
  const Segment* text_segments = nullptr;
  const Tile* tiles = nullptr;  ///< of `segments`
  int tile_count = 0;
  float scale = 1.0F;
  float bias = 0.0F;
  Matrix y;  ///< kF32 [rows, >= widest text]
};
void launch_similarity(Stream stream, const SimilarityParams& params);

/// y[q] = the highest of its similarities; y: kF32 [rows, 1].
void launch_max_similarity(Stream stream, const SimilarityParams& params);

struct TopKSegment {
  Segment rows;
  std::int64_t output = 0;  ///< first row of y
  std::int64_t count = 0;   ///< 0: nothing to do
};

/// Most rows that top_k can select from one segment.
inline constexpr std::int64_t kTopKLimit = 16384;

/// For each segment the rows of the highest scores, best first, ties by lower row, NaN last.
struct TopKParams {
  Matrix scores;  ///< kF32 [rows, 1]
  const TopKSegment* segments = nullptr;
  int segment_count = 0;
  std::int64_t most = 0;  ///< largest count, <= kTopKLimit
  /// What a block may have of the device's shared memory: 99 KiB on every one; with more, longer
  /// segments are read only once.
  std::int64_t shared_bytes = std::int64_t{99} << 10;
  Matrix y;  ///< kI32 [sum of counts, 1]
};
void launch_top_k(Stream stream, const TopKParams& params);

}  // namespace itemcrop::cuda::kernels
