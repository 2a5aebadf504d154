#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/cuda/kernels/deformable.h"
#include "ops/tensor.h"

/// How ops that read beyond single rows are cut into pieces (Tuning::piece_bytes).
namespace itemcrop::cuda {

/// Neighbouring grids of at most `rows` rows together, a grid at least; all grids at once where
/// they do not lie end to end.
std::vector<std::span<const ops::Grid>> pieces_of(std::span<const ops::Grid> grids,
                                                  std::int64_t rows);

/// Neighbouring tiles of deformable attention, and the consecutive queries that they cover.
struct TilePiece {
  std::int64_t first_row = 0;
  std::int64_t rows = 0;
  std::int64_t first_tile = 0;
  std::int64_t tiles = 0;
};

/// Pieces of at most `rows` queries, a line of tiles at least. `levels` holds all pyramids',
/// `level_count` each.
std::vector<TilePiece> pieces_of(std::span<const kernels::DeformableTile> tiles,
                                 std::span<const ops::Grid> levels, std::int64_t level_count,
                                 std::int64_t rows);

}  // namespace itemcrop::cuda
