#pragma once

#include "backend/cuda/kernels/layout.h"

namespace itemcrop::cuda::kernels {

inline constexpr int kDeformableTileEdge = 8;  ///< a tile is 8 x 8 cells, or 64 queries
inline constexpr int kDeformableMaxSamples = 64;

/// 64 queries, sampled by one thread block a head.
struct DeformableTile {
  /// Query row of the first cell of the tile's level; of the first query where level is -1.
  std::int64_t begin = 0;
  std::int32_t sample = 0;
  std::int32_t level = -1;      ///< level of the cells, or -1: `width` consecutive queries
  std::int32_t x = 0, y = 0;    ///< place of the tile's first cell in its level
  std::int32_t width = 0;       ///< cells across (0: nothing to do)
  std::int32_t height = 0;      ///< cells down
  std::int64_t axis_begin = 0;  ///< of cells: the first row of their level in the axis table
};

/// What deformable attention does between its two products: softmax of the weights over levels and
/// points, sampling points, bilinear sums. The executor makes
///   sampling = (query + position) Ws^T + b      fp32 [Q, heads * levels * points * 3]
/// (columns: all offsets x, y; then all weights; each head, level, point) and afterwards
/// layer_norm(query + sampled Wo^T + b). levels * points <= kDeformableMaxSamples.
/// A product is linear and a cell's position the sum of its row's and its column's, so for cells
///   sampling = query Ws^T + b,   axes = (axis table) Ws^T
/// and the kernel adds two rows of `axes` to each of `sampling`.
struct DeformableParams {
  Matrix sampling;               ///< kF32, from row `first_row` of the whole on
  Matrix axes;                   ///< kF32; of cells only
  Matrix reference;              ///< kF32 [Q, 4] boxes, or empty: the centres of the tiles' cells
                                 ///< (deformable_cell_tiles)
  Matrix value;                  ///< [rows of the pyramids, heads * head_dim]
  Matrix y;                      ///< [Q, heads * head_dim], of value's type, like sampling
  std::int64_t first_row = 0;    ///< tiles count rows of the whole
  const Grid* levels = nullptr;  ///< flatten(pyramids)
  int level_count = 0;           ///< levels of one pyramid
  const DeformableTile* tiles = nullptr;
  int tile_count = 0;
  int heads = 1;
  int points = 4;
};
void launch_deformable(Stream stream, const DeformableParams& params);

}  // namespace itemcrop::cuda::kernels
