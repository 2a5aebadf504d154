#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/cpu/reference/reference_executor.h"
#include "backend/cpu/reference/rows.h"

namespace itemcrop::cpu::reference {

// The reference also clamps scores to +-50000 around softmaxes that subtract the maximum; exp() of
// anything near that far below the maximum is zero with or without the clamp.
void ReferenceExecutor::folded_fusion(const ops::FoldedFusionArgs& args) {
  const std::int64_t dim = args.vision.cols;
  std::int64_t most_scores = 0;
  for (std::size_t sample = 0; sample < args.vision_segments.size(); ++sample) {
    most_scores = std::max(most_scores,
                           args.vision_segments[sample].rows * args.folded_segments[sample].rows);
  }
  float* const scores = scratch_.reserve_shared(static_cast<std::size_t>(most_scores));
  std::int64_t most_columns = 0;
  for (const ops::Segment& folded : args.folded_segments) {
    most_columns = std::max(most_columns, folded.rows);
  }
  scratch_.reserve(static_cast<std::size_t>(most_columns + dim));

  for (std::size_t sample = 0; sample < args.vision_segments.size(); ++sample) {
    const Matrix x = args.vision.row_range(args.vision_segments[sample].begin,
                                           args.vision_segments[sample].rows);
    const std::int64_t first = args.folded_segments[sample].begin;
    const std::int64_t columns = args.folded_segments[sample].rows;
    const std::int64_t text_tokens = columns / args.heads;

    // X, in place, and S.
    for_rows(x.rows, [&](std::int64_t r, int) {
      float* row = x.row<float>(r);
      normalise_row(row, *args.norm, row);
      for (std::int64_t column = 0; column < columns; ++column) {
        scores[r * columns + column] = dot(row, args.keys.row<float>(first + column), dim) +
                                       *args.key_bias.row<float>(first + column);
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
      float* output = args.context.row<float>(first + column);
      for (std::int64_t c = 0; c < dim; ++c) output[c] = context[c] / static_cast<float>(sum);
    });

    // Text to vision.
    for_rows(x.rows, [&](std::int64_t r, int worker) {
      float* weights = scratch_.of(worker);
      float* delta = weights + most_columns;
      std::copy_n(scores + r * columns, columns, weights);
      for (std::int64_t head = 0; head < args.heads; ++head) {
        softmax_row(weights + head * text_tokens, text_tokens);
      }
      std::copy_n(args.output_bias->data(), dim, delta);
      for (std::int64_t column = 0; column < columns; ++column) {
        accumulate(weights[column], args.values.row<float>(first + column), dim, delta);
      }
      float* row = x.row<float>(r);
      for (std::int64_t c = 0; c < dim; ++c) row[c] += args.gamma->data()[c] * delta[c];
    });
  }
}

}  // namespace itemcrop::cpu::reference
