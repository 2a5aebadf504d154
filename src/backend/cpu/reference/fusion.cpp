#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/cpu/reference/reference_executor.h"
#include "backend/cpu/reference/rows.h"

namespace itemcrop::cpu::reference {

// The reference also clamps scores to +-50000 around softmaxes that subtract the maximum; exp() of
// anything near that far below the maximum is zero with or without the clamp.
void ReferenceExecutor::execute(const ops::FoldedFusion& op) {
  const std::int64_t dim = op.vision.cols;
  std::int64_t max_scores = 0;
  for (std::size_t sample = 0; sample < op.vision_segments.size(); ++sample) {
    max_scores =
        std::max(max_scores, op.vision_segments[sample].rows * op.folded_segments[sample].rows);
  }
  float* const scores = scratch_.reserve_shared(static_cast<std::size_t>(max_scores));
  std::int64_t max_columns = 0;
  for (const ops::Segment& folded : op.folded_segments) {
    max_columns = std::max(max_columns, folded.rows);
  }
  scratch_.reserve(static_cast<std::size_t>(max_columns + dim));

  for (std::size_t sample = 0; sample < op.vision_segments.size(); ++sample) {
    const Matrix x =
        op.vision.row_range(op.vision_segments[sample].begin, op.vision_segments[sample].rows);
    const std::int64_t first = op.folded_segments[sample].begin;
    const std::int64_t columns = op.folded_segments[sample].rows;
    const std::int64_t text_tokens = columns / op.heads;

    // X, in place, and S.
    for_rows(x.rows, [&](std::int64_t r, int) {
      float* row = x.row<float>(r);
      normalise_row(row, *op.norm, row);
      for (std::int64_t column = 0; column < columns; ++column) {
        scores[r * columns + column] = dot(row, op.keys.row<float>(first + column), dim) +
                                       *op.key_bias.row<float>(first + column);
      }
    });

    // Vision to text, while X is still in place.
    pool_.parallel_for(columns, [&](std::int64_t column, int worker) {
      float highest = -std::numeric_limits<float>::infinity();
      for (std::int64_t r = 0; r < x.rows; ++r) {
        highest = std::max(highest, scores[r * columns + column]);
      }
      float* context = scratch_.of(worker);
      std::fill_n(context, dim, 0.0F);
      double sum = 0;
      for (std::int64_t r = 0; r < x.rows; ++r) {
        const float weight = std::exp(scores[r * columns + column] - highest);
        sum += weight;
        accumulate(weight, x.row<float>(r), dim, context);
      }
      float* output = op.context.row<float>(first + column);
      for (std::int64_t c = 0; c < dim; ++c) output[c] = context[c] / static_cast<float>(sum);
    });

    // Text to vision.
    for_rows(x.rows, [&](std::int64_t r, int worker) {
      float* weights = scratch_.of(worker);
      float* delta = weights + max_columns;
      std::copy_n(scores + r * columns, columns, weights);
      for (std::int64_t head = 0; head < op.heads; ++head) {
        softmax_row(weights + head * text_tokens, text_tokens);
      }
      std::copy_n(op.output_bias->data(), dim, delta);
      for (std::int64_t column = 0; column < columns; ++column) {
        accumulate(weights[column], op.values.row<float>(first + column), dim, delta);
      }
      float* row = x.row<float>(r);
      for (std::int64_t c = 0; c < dim; ++c) row[c] += op.gamma->data()[c] * delta[c];
    });
  }
}

}  // namespace itemcrop::cpu::reference
