#include <algorithm>
#include <cstring>

#include "backend/cpu/executor.h"
#include "backend/cpu/tile.h"
#include "ops/resize.h"

namespace itemcrop::cpu {
namespace {

/// Output rows of one grid in a tile, each gathered from a neighbourhood of cells of another.
/// `cell(target_row, target_column, i)` says where the i-th neighbour lies: {row, column}.
struct Cell {
  int row, column;
};

template <class Neighbour>
void gather_neighbours(const ops::Matrix& x, const ops::Grid& from, const ops::Grid& to,
                       const RowTile& tile, int count, const Neighbour& neighbour, float* output) {
  for (std::int64_t row = tile.begin; row < tile.begin + tile.rows; ++row) {
    const auto target = static_cast<int>(row - to.begin);
    for (int i = 0; i < count; ++i) {
      const Cell cell = neighbour(target / to.width, target % to.width, i);
      const bool inside =
          cell.row >= 0 && cell.column >= 0 && cell.row < from.height && cell.column < from.width;
      if (inside) {
        const std::int64_t source =
            from.begin + static_cast<std::int64_t>(cell.row) * from.width + cell.column;
        std::copy_n(x.row<float>(source), x.cols, output);
      } else {
        std::fill_n(output, x.cols, 0.0F);
      }
      output += x.cols;
    }
  }
}

std::vector<ops::Segment> segments_of(std::span<const ops::Grid> grids) {
  std::vector<ops::Segment> segments;
  for (const ops::Grid& grid : grids) segments.push_back({grid.begin, grid.rows()});
  return segments;
}

/// y = norm(gathered) W^T + b for a tile of gathered rows.
void project(const float* gathered, const ops::Norm* norm, const PackedLinear& weight,
             const RowTile& tile, const ops::Matrix& y, Workspace& workspace) {
  const TileBuffer input =
      take_tile(workspace, padded_rows(tile.rows), weight.inputs(), weight.operand());
  kernels::RowTransform transform{
      .x = gathered, .x_stride = weight.inputs(), .rows = tile.rows, .cols = weight.inputs()};
  set_norm(transform, norm);
  kernels::transform_rows(transform, input.type, input.data, input.stride);
  const TileBuffer product =
      multiply(weight, input, Operand::kF32, ops::Activation::kNone, workspace);
  const kernels::RowTransform store{
      .x = product.floats(), .x_stride = product.stride, .rows = tile.rows, .cols = y.cols};
  kernels::transform_rows(store, Operand::kF32, y.row<float>(tile.begin), y.stride);
}

}  // namespace

void CpuExecutor::execute(const ops::ImagePatches& op) {
  const auto width = static_cast<std::int64_t>(op.transform.width);
  shared_.reset();
  auto* pixels = shared_.take<std::uint8_t>(3 * width * op.transform.height);
  ops::resize_bilinear(op.image, {op.transform.width, op.transform.height}, pixels, &pool_);

  const int patch = op.transform.patch;
  const int across = (op.transform.width + patch - 1) / patch;
  const int down = (op.transform.height + patch - 1) / patch;
  for_tasks(down, [&](std::int64_t patch_row, Workspace&) {
    for (int patch_column = 0; patch_column < across; ++patch_column) {
      float* output = op.y.row<float>(patch_row * across + patch_column);
      const int left = patch_column * patch;
      for (int channel = 0; channel < 3; ++channel) {
        for (std::int64_t row = patch_row * patch; row < (patch_row + 1) * patch; ++row) {
          for (int column = left; column < left + patch; ++column) {
            const bool inside = row < op.transform.height && column < op.transform.width;
            *output++ = inside ? static_cast<float>(pixels[(row * width + column) * 3 + channel]) *
                                         op.transform.scale[channel] +
                                     op.transform.shift[channel]
                               : 0.0F;
          }
        }
      }
    }
  });
}

void CpuExecutor::execute(const ops::PatchMerge& op) {
  const PackedLinear& weight = packed(op.reduction);
  for_tiles(segments_of(op.to), [&](const RowTile& tile, Workspace& workspace) {
    auto* gathered = workspace.take<float>(tile.rows * weight.inputs());
    const auto neighbour = [](int row, int column, int i) {
      return Cell{2 * row + i % 2, 2 * column + i / 2};
    };
    gather_neighbours(op.x, op.from[tile.segment], op.to[tile.segment], tile, 4, neighbour,
                      gathered);
    project(gathered, &op.norm, weight, tile, op.y, workspace);
  });
}

void CpuExecutor::execute(const ops::Convolve3x3Stride2& op) {
  const PackedLinear& product = packed(op.weight);
  for_tiles(segments_of(op.to), [&](const RowTile& tile, Workspace& workspace) {
    auto* gathered = workspace.take<float>(tile.rows * product.inputs());
    const auto neighbour = [](int row, int column, int i) {
      return Cell{2 * row - 1 + i / 3, 2 * column - 1 + i % 3};
    };
    gather_neighbours(op.x, op.from[tile.segment], op.to[tile.segment], tile, 9, neighbour,
                      gathered);
    project(gathered, nullptr, product, tile, op.y, workspace);
  });
}

}  // namespace itemcrop::cpu
