#include "backend/cpu/kernels/rows.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/executor.h"
#include "backend/cpu/tile.h"

namespace itemcrop::cpu {

void CpuExecutor::layer_norm(Matrix x, const ops::Norm& norm, Matrix y) {
  for_tiles(x.rows, [&](const RowTile& tile, Workspace&) {
    kernels::RowTransform transform{
        .x = x.row<float>(tile.begin), .x_stride = x.stride, .rows = tile.rows, .cols = x.cols};
    set_norm(transform, &norm);
    kernels::transform_rows(transform, Operand::kF32, y.row<float>(tile.begin), y.stride);
  });
}

void CpuExecutor::group_norm(Matrix x, std::span<const ops::Segment> from, int groups,
                             const ops::Norm& norm, Matrix y, std::span<const ops::Segment> to) {
  const std::int64_t cols = x.cols;
  const std::int64_t width = cols / groups;
  for (std::size_t sample = 0; sample < from.size(); ++sample) {
    const ops::Segment segment = from[sample];
    const std::int64_t tiles = (segment.rows + kTileRows - 1) / kTileRows;
    // Each tile's sums of columns; summed over tiles in order and over a group's columns, in fp64.
    shared_.reset();
    auto* partial = shared_.take<float>(tiles * cols);
    auto* scale = shared_.take<float>(cols);
    auto* shift = shared_.take<float>(cols);
    const auto group_means = [&](auto&& sum_tile, float* means) {
      for_tiles(
          from.subspan(sample, 1),
          [&](const RowTile& tile, Workspace&) {
            float* sums = partial + (tile.begin - segment.begin) / kTileRows * cols;
            std::fill_n(sums, cols, 0.0F);
            sum_tile(x.row<float>(tile.begin), tile.rows, sums);
          },
          kTileRows);
      for (std::int64_t first = 0; first < cols; first += width) {
        double sum = 0;
        for (std::int64_t tile = 0; tile < tiles; ++tile) {
          for (std::int64_t c = first; c < first + width; ++c) sum += partial[tile * cols + c];
        }
        std::fill_n(means + first, width,
                    static_cast<float>(sum / static_cast<double>(segment.rows * width)));
      }
    };
    group_means([&](const float* rows, std::int64_t count,
                    float* sums) { kernels::sum_columns(rows, x.stride, count, cols, sums); },
                shift);
    group_means(
        [&](const float* rows, std::int64_t count, float* sums) {
          kernels::sum_squares(rows, x.stride, shift, count, cols, sums);
        },
        scale);
    for (std::int64_t c = 0; c < cols; ++c) {
      scale[c] = norm.weight->data()[c] / std::sqrt(scale[c] + norm.epsilon);
      shift[c] = norm.bias->data()[c] - shift[c] * scale[c];
    }
    for_tiles(from.subspan(sample, 1), [&](const RowTile& tile, Workspace&) {
      const std::int64_t target = to[sample].begin + tile.begin - segment.begin;
      kernels::scale_rows(x.row<float>(tile.begin), x.stride, scale, shift, tile.rows, cols,
                          y.row<float>(target), y.stride);
    });
  }
}

void CpuExecutor::add(Matrix a, Matrix b, Matrix y) {
  for_tiles(a.rows, [&](const RowTile& tile, Workspace&) {
    const kernels::RowTransform transform{.x = a.row<float>(tile.begin),
                                          .x_stride = a.stride,
                                          .addend = b.row<float>(tile.begin),
                                          .addend_stride = b.stride,
                                          .rows = tile.rows,
                                          .cols = a.cols};
    kernels::transform_rows(transform, Operand::kF32, y.row<float>(tile.begin), y.stride);
  });
}

void CpuExecutor::add_scaled(Matrix a, const ops::Constant& scale, Matrix b, Matrix y) {
  for_tiles(a.rows, [&](const RowTile& tile, Workspace&) {
    for (std::int64_t r = tile.begin; r < tile.begin + tile.rows; ++r) {
      kernels::add_scaled_row(a.row<float>(r), scale.data(), b.row<float>(r), a.cols,
                              y.row<float>(r));
    }
  });
}

void CpuExecutor::dot_rows(Matrix x, const ops::Constant& vector, Matrix y) {
  for_tiles(x.rows, [&](const RowTile& tile, Workspace&) {
    for (std::int64_t r = tile.begin; r < tile.begin + tile.rows; ++r) {
      const float* row = x.row<float>(r);
      float sum = 0;
      for (std::int64_t c = 0; c < x.cols; ++c) sum += row[c] * vector.data()[c];
      *y.row<float>(r) = sum;
    }
  });
}

void CpuExecutor::embed_tokens(std::span<const std::int32_t> ids,
                               std::span<const std::int32_t> position_ids,
                               const ops::Constant& words, const ops::Constant& positions,
                               const ops::Constant& types, Matrix y) {
  for (std::int64_t r = 0; r < y.rows; ++r) {
    const auto i = static_cast<std::size_t>(r);
    const float* word = words.data() + ids[i] * words.cols();
    const float* position = positions.data() + position_ids[i] * positions.cols();
    float* output = y.row<float>(r);
    for (std::int64_t c = 0; c < y.cols; ++c) output[c] = word[c] + position[c] + types.data()[c];
  }
}

}  // namespace itemcrop::cpu
