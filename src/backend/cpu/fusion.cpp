#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "backend/cpu/executor.h"
#include "backend/cpu/kernels/matmul.h"
#include "backend/cpu/kernels/softmax.h"
#include "backend/cpu/tile.h"

namespace itemcrop::cpu {
namespace {

/// Tiles whose share of the softmax down the columns one task sums up.
constexpr std::int64_t kChunkTiles = 8;

/// One sample's text, packed as weights: S = X K^T + b and delta = gamma * (P V + b).
struct FoldedText {
  std::unique_ptr<const PackedLinear> keys, values;
};

FoldedText pack_text(const ops::FoldedFusion& args, const ops::Segment& folded,
                     const GemmEngine& gemm, bool bf16) {
  const std::int64_t cols = args.vision.cols;
  const float* gamma = args.gamma->data();
  std::vector<float> values(static_cast<std::size_t>(folded.rows * cols));
  std::vector<float> bias(static_cast<std::size_t>(cols));
  for (std::int64_t r = 0; r < folded.rows; ++r) {
    const float* row = args.values.row<float>(folded.begin + r);
    for (std::int64_t c = 0; c < cols; ++c) {
      values[static_cast<std::size_t>(r * cols + c)] = gamma[c] * row[c];
    }
  }
  for (std::int64_t c = 0; c < cols; ++c) {
    bias[static_cast<std::size_t>(c)] = gamma[c] * args.output_bias->data()[c];
  }
  const LinearSource keys{.weight = args.keys.row<float>(folded.begin),
                          .output_stride = args.keys.stride,
                          .bias = args.key_bias.row<float>(folded.begin),
                          .bias_stride = args.key_bias.stride,
                          .outputs = folded.rows,
                          .inputs = cols};
  const LinearSource outputs{.weight = values.data(),
                             .output_stride = 1,
                             .input_stride = cols,
                             .bias = bias.data(),
                             .outputs = cols,
                             .inputs = folded.rows};
  return {gemm.pack(keys, bf16), gemm.pack(outputs, bf16)};
}

/// Running softmax down the columns: context = sum over rows of exp(S - highest) X, and the sum of
/// those exponentials, for every folded column.
struct ColumnSoftmax {
  float* context;  ///< [columns, cols]
  float* highest;  ///< [columns]
  float* sums;     ///< [columns]
};

void rescale(const ColumnSoftmax& softmax, std::int64_t column, std::int64_t cols, float highest) {
  const float factor = std::exp(softmax.highest[column] - highest);
  softmax.highest[column] = highest;
  softmax.sums[column] *= factor;
  float* row = softmax.context + column * cols;
  for (std::int64_t c = 0; c < cols; ++c) row[c] *= factor;
}

ColumnSoftmax take_column_softmax(Workspace& workspace, std::int64_t columns, std::int64_t cols) {
  return {workspace.take<float>(columns * cols), workspace.take<float>(columns),
          workspace.take<float>(columns)};
}

void clear(const ColumnSoftmax& softmax, std::int64_t columns, std::int64_t cols) {
  std::fill_n(softmax.context, columns * cols, 0.0F);
  std::fill_n(softmax.highest, columns, std::numeric_limits<float>::lowest());
  std::fill_n(softmax.sums, columns, 0.0F);
}

/// Adds a tile's rows to the running softmax.
void accumulate(const ColumnSoftmax& softmax, const TileBuffer& scores, const TileBuffer& x,
                std::int64_t rows, std::int64_t columns, std::int64_t cols, Workspace& workspace) {
  auto* highest = workspace.take<float>(columns);
  std::copy_n(softmax.highest, columns, highest);
  kernels::max_columns(scores.floats(), scores.stride, rows, columns, highest);
  for (std::int64_t c = 0; c < columns; ++c) {
    if (highest[c] > softmax.highest[c]) rescale(softmax, c, cols, highest[c]);
  }
  auto* weights = workspace.take<float>(rows * columns);
  kernels::exp_columns(scores.floats(), scores.stride, softmax.highest, rows, columns, weights,
                       columns, softmax.sums);
  kernels::matmul({.a = weights,
                   .a_row_stride = 1,
                   .a_inner_stride = columns,
                   .b = x.floats(),
                   .b_stride = x.stride,
                   .c = softmax.context,
                   .c_stride = cols,
                   .rows = columns,
                   .cols = cols,
                   .inner = rows,
                   .accumulate = true});
}

/// Merges the chunks of one sample in order and writes their normalised context.
void merge(std::vector<ColumnSoftmax>& chunks, const ops::Segment& folded,
           const ops::Matrix& context) {
  const std::int64_t cols = context.cols;
  for (std::int64_t column = 0; column < folded.rows; ++column) {
    float highest = std::numeric_limits<float>::lowest();
    for (const ColumnSoftmax& chunk : chunks) highest = std::max(highest, chunk.highest[column]);
    float* output = context.row<float>(folded.begin + column);
    std::fill_n(output, cols, 0.0F);
    float sum = 0;
    for (const ColumnSoftmax& chunk : chunks) {
      rescale(chunk, column, cols, highest);
      sum += chunk.sums[column];
      for (std::int64_t c = 0; c < cols; ++c) output[c] += chunk.context[column * cols + c];
    }
    for (std::int64_t c = 0; c < cols; ++c) output[c] /= sum;
  }
}

}  // namespace

void CpuExecutor::execute(const ops::FoldedFusion& op) {
  const std::int64_t cols = op.vision.cols;
  for (std::size_t sample = 0; sample < op.vision_segments.size(); ++sample) {
    const ops::Segment segment = op.vision_segments[sample];
    const ops::Segment folded = op.folded_segments[sample];
    const std::int64_t columns = folded.rows;
    const std::int64_t tokens = columns / op.heads;
    const FoldedText text = pack_text(op, folded, *gemm_, bf16_);

    constexpr std::int64_t kChunkRows = kChunkTiles * kTileRows;
    const std::int64_t chunk_count = (segment.rows + kChunkRows - 1) / kChunkRows;
    shared_.reset();
    std::vector<ColumnSoftmax> chunks;
    for (std::int64_t chunk = 0; chunk < chunk_count; ++chunk) {
      chunks.push_back(take_column_softmax(shared_, columns, cols));
    }

    for_tasks(chunk_count, [&](std::int64_t task, Workspace& workspace) {
      const ColumnSoftmax& softmax = chunks[static_cast<std::size_t>(task)];
      clear(softmax, columns, cols);
      const std::int64_t end = std::min(segment.end(), segment.begin + (task + 1) * kChunkRows);
      for (std::int64_t row = segment.begin + task * kChunkRows; row < end; row += kTileRows) {
        workspace.reset();
        const std::int64_t rows = std::min(kTileRows, end - row);
        kernels::RowTransform transform{.x = op.vision.row<float>(row),
                                        .x_stride = op.vision.stride,
                                        .rows = rows,
                                        .cols = cols};
        set_norm(transform, op.norm);
        const TileBuffer x = take_tile(workspace, padded_rows(rows), cols, Operand::kF32);
        kernels::transform_rows(transform, Operand::kF32, x.data, x.stride);
        const TileBuffer input = as_operand(x, text.keys->operand(), workspace);
        const TileBuffer scores =
            multiply(*text.keys, input, Operand::kF32, ops::Activation::kNone, workspace);
        accumulate(softmax, scores, x, rows, columns, cols, workspace);

        for (std::int64_t head = 0; head < op.heads; ++head) {
          kernels::softmax_rows({.x = scores.floats() + head * tokens,
                                 .stride = scores.stride,
                                 .rows = rows,
                                 .cols = tokens});
        }
        const TileBuffer weights = as_operand(scores, text.values->operand(), workspace);
        const TileBuffer delta =
            multiply(*text.values, weights, Operand::kF32, ops::Activation::kNone, workspace);
        const kernels::RowTransform add{.x = x.floats(),
                                        .x_stride = x.stride,
                                        .addend = delta.floats(),
                                        .addend_stride = delta.stride,
                                        .rows = rows,
                                        .cols = cols};
        kernels::transform_rows(add, Operand::kF32, op.vision.row<float>(row), op.vision.stride);
      }
    });
    merge(chunks, folded, op.context);
  }
}

}  // namespace itemcrop::cpu
