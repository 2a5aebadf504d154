#include "backend/cpu/kernels/rows.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/executor.h"
#include "backend/cpu/tile.h"

namespace itemcrop::cpu {

void CpuExecutor::execute(const ops::LayerNorm& op) {
  for_tiles(op.x.rows, [&](const RowTile& tile, Workspace&) {
    kernels::RowTransform transform{.x = op.x.row<float>(tile.begin),
                                    .x_stride = op.x.stride,
                                    .rows = tile.rows,
                                    .cols = op.x.cols};
    set_norm(transform, &op.norm);
    kernels::transform_rows(transform, Operand::kF32, op.y.row<float>(tile.begin), op.y.stride);
  });
}

void CpuExecutor::execute(const ops::GroupNorm& op) {
  const std::int64_t cols = op.x.cols;
  const std::int64_t width = cols / op.groups;
  for (std::size_t sample = 0; sample < op.from.size(); ++sample) {
    const ops::Segment segment = op.from[sample];
    const std::int64_t tiles = (segment.rows + kTileRows - 1) / kTileRows;
    // Each tile's sums of columns; summed over tiles in order and over a group's columns, in fp64.
    shared_.reset();
    auto* partial = shared_.take<float>(tiles * cols);
    auto* scale = shared_.take<float>(cols);
    auto* shift = shared_.take<float>(cols);
    const auto group_means = [&](auto&& sum_tile, float* means) {
      for_tiles(
          op.from.subspan(sample, 1),
          [&](const RowTile& tile, Workspace&) {
            float* sums = partial + (tile.begin - segment.begin) / kTileRows * cols;
            std::fill_n(sums, cols, 0.0F);
            sum_tile(op.x.row<float>(tile.begin), tile.rows, sums);
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
                    float* sums) { kernels::sum_columns(rows, op.x.stride, count, cols, sums); },
                shift);
    group_means(
        [&](const float* rows, std::int64_t count, float* sums) {
          kernels::sum_squares(rows, op.x.stride, shift, count, cols, sums);
        },
        scale);
    for (std::int64_t c = 0; c < cols; ++c) {
      scale[c] = op.norm.weight->data()[c] / std::sqrt(scale[c] + op.norm.epsilon);
      shift[c] = op.norm.bias->data()[c] - shift[c] * scale[c];
    }
    for_tiles(op.from.subspan(sample, 1), [&](const RowTile& tile, Workspace&) {
      const std::int64_t target = op.to[sample].begin + tile.begin - segment.begin;
      kernels::scale_rows(op.x.row<float>(tile.begin), op.x.stride, scale, shift, tile.rows, cols,
                          op.y.row<float>(target), op.y.stride);
    });
  }
}

void CpuExecutor::execute(const ops::Add& op) {
  for_tiles(op.a.rows, [&](const RowTile& tile, Workspace&) {
    const kernels::RowTransform transform{.x = op.a.row<float>(tile.begin),
                                          .x_stride = op.a.stride,
                                          .addend = op.b.row<float>(tile.begin),
                                          .addend_stride = op.b.stride,
                                          .rows = tile.rows,
                                          .cols = op.a.cols};
    kernels::transform_rows(transform, Operand::kF32, op.y.row<float>(tile.begin), op.y.stride);
  });
}

void CpuExecutor::execute(const ops::AddScaled& op) {
  for_tiles(op.a.rows, [&](const RowTile& tile, Workspace&) {
    for (std::int64_t r = tile.begin; r < tile.begin + tile.rows; ++r) {
      kernels::add_scaled_row(op.a.row<float>(r), op.scale.data(), op.b.row<float>(r), op.a.cols,
                              op.y.row<float>(r));
    }
  });
}

void CpuExecutor::execute(const ops::DotRows& op) {
  for_tiles(op.x.rows, [&](const RowTile& tile, Workspace&) {
    for (std::int64_t r = tile.begin; r < tile.begin + tile.rows; ++r) {
      const float* row = op.x.row<float>(r);
      float sum = 0;
      for (std::int64_t c = 0; c < op.x.cols; ++c) sum += row[c] * op.vector.data()[c];
      *op.y.row<float>(r) = sum;
    }
  });
}

void CpuExecutor::execute(const ops::EmbedTokens& op) {
  for (std::int64_t r = 0; r < op.y.rows; ++r) {
    const auto i = static_cast<std::size_t>(r);
    const float* word = op.words.data() + op.ids[i] * op.words.cols();
    const float* position = op.positions.data() + op.position_ids[i] * op.positions.cols();
    float* output = op.y.row<float>(r);
    for (std::int64_t c = 0; c < op.y.cols; ++c)
      output[c] = word[c] + position[c] + op.types.data()[c];
  }
}

}  // namespace itemcrop::cpu
