#include "backend/cuda/pieces.h"

#include <cstddef>

namespace itemcrop::cuda {

std::vector<std::span<const ops::Grid>> pieces_of(std::span<const ops::Grid> grids,
                                                  std::int64_t rows) {
  for (std::size_t i = 1; i < grids.size(); ++i) {
    if (grids[i].begin != grids[i - 1].begin + grids[i - 1].rows()) return {grids};
  }
  std::vector<std::span<const ops::Grid>> pieces;
  std::int64_t taken = 0;
  std::size_t first = 0;
  for (std::size_t i = 0; i < grids.size(); ++i) {
    if (i > first && taken + grids[i].rows() > rows) {
      pieces.push_back(grids.subspan(first, i - first));
      first = i;
      taken = 0;
    }
    taken += grids[i].rows();
  }
  if (first < grids.size()) pieces.push_back(grids.subspan(first));
  return pieces;
}

std::vector<TilePiece> pieces_of(std::span<const kernels::DeformableTile> tiles,
                                 std::span<const ops::Grid> levels, std::int64_t level_count,
                                 std::int64_t rows) {
  std::vector<TilePiece> pieces;
  for (std::size_t i = 0; i < tiles.size();) {
    // A line of tiles covers whole lines of its level; a tile of queries stands alone.
    const kernels::DeformableTile& tile = tiles[i];
    std::int64_t first_row = tile.begin;
    std::int64_t count = tile.width;
    std::size_t end = i + 1;
    if (tile.level >= 0) {
      const std::int64_t width =
          levels[static_cast<std::size_t>(tile.sample * level_count + tile.level)].width;
      first_row += tile.y * width;
      count = tile.height * width;
      while (end < tiles.size() && tiles[end].x != 0) ++end;
    }
    const auto line = static_cast<std::int64_t>(end - i);
    if (pieces.empty() || pieces.back().first_row + pieces.back().rows != first_row ||
        pieces.back().rows + count > rows) {
      pieces.push_back({first_row, 0, static_cast<std::int64_t>(i), 0});
    }
    pieces.back().rows += count;
    pieces.back().tiles += line;
    i = end;
  }
  return pieces;
}

}  // namespace itemcrop::cuda
