#include <algorithm>
#include <cmath>

#include "backend/cpu/reference/reference_executor.h"
#include "backend/cpu/reference/rows.h"
#include "ops/geometry.h"

namespace itemcrop::cpu::reference {
namespace {

/// A query's reference: a point, or the centre and size of a box; all in [0, 1].
struct Reference {
  float x, y;
  float width = 0, height = 0;
  bool is_box = false;
};

Reference cell_centre(const ops::Pyramid& pyramid, std::int64_t cell) {
  for (const ops::Grid& level : pyramid.levels) {
    if (cell < level.rows()) {
      return {(static_cast<float>(cell % level.width) + 0.5F) / static_cast<float>(level.width),
              (static_cast<float>(cell / level.width) + 0.5F) / static_cast<float>(level.height)};
    }
    cell -= level.rows();
  }
  return {};
}

/// Rows of the table of positions (ops::DeformableAttention::position) that make up a query's.
struct PositionRows {
  std::int64_t first;
  std::int64_t second = -1;  ///< of a cell
};

PositionRows axes_of_cell(std::span<const ops::Pyramid> pyramids, std::size_t sample,
                          std::int64_t cell) {
  std::int64_t first = ops::axis_rows(pyramids.first(sample));
  for (const ops::Grid& level : pyramids[sample].levels) {
    if (cell < level.rows()) {
      return {first + cell / level.width, first + level.height + cell % level.width};
    }
    cell -= level.rows();
    first += ops::axis_rows(level);
  }
  return {};
}

/// output += weight * the bilinear sample of one head's columns at pixel (x, y), zeros outside.
void add_sample(ops::Matrix value, const ops::Grid& level, std::int64_t first_column,
                std::int64_t columns, float x, float y, float weight, float* output) {
  const float left = std::floor(x);
  const float top = std::floor(y);
  for (int dy = 0; dy <= 1; ++dy) {
    for (int dx = 0; dx <= 1; ++dx) {
      const float column = left + static_cast<float>(dx);
      const float row = top + static_cast<float>(dy);
      const bool inside = column >= 0 && row >= 0 && column < static_cast<float>(level.width) &&
                          row < static_cast<float>(level.height);
      if (!inside) continue;
      const float share = (1.0F - std::abs(x - column)) * (1.0F - std::abs(y - row));
      const std::int64_t cell = level.begin + static_cast<std::int64_t>(row) * level.width +
                                static_cast<std::int64_t>(column);
      accumulate(weight * share, value.row<float>(cell) + first_column, columns, output);
    }
  }
}

}  // namespace

void ReferenceExecutor::execute(const ops::DeformableAttention& op) {
  const auto& sampling_weight = static_cast<const ReferenceLinear&>(*op.weights->sampling);
  const auto& output_weight = static_cast<const ReferenceLinear&>(*op.weights->output);
  const std::int64_t dim = op.query.cols;
  const std::int64_t head_dim = op.value.cols / op.heads;
  const auto levels = static_cast<std::int64_t>(op.pyramids.front().levels.size());
  const std::int64_t samples = levels * op.points;  // of one head
  const std::int64_t all_samples = op.heads * samples;
  scratch_.reserve(static_cast<std::size_t>(2 * dim + op.value.cols + 3 * all_samples));

  const auto attend = [&](const ops::Pyramid& pyramid, std::int64_t q, const Reference& reference,
                          const PositionRows& position, int worker) {
    float* query = scratch_.of(worker);
    float* offsets = query + dim;
    float* weights = offsets + 2 * all_samples;
    float* sampled = weights + all_samples;
    float* projected = sampled + op.value.cols;

    std::copy_n(op.query.row<float>(q), dim, query);
    accumulate(1.0F, op.position.row<float>(position.first), dim, query);
    if (position.second >= 0) {
      accumulate(1.0F, op.position.row<float>(position.second), dim, query);
    }
    multiply_rows(query, dim, 1, sampling_weight, offsets, 3 * all_samples);

    std::fill_n(sampled, op.value.cols, 0.0F);
    for (std::int64_t head = 0; head < op.heads; ++head) {
      softmax_row(weights + head * samples, samples);
      for (std::int64_t l = 0; l < levels; ++l) {
        const ops::Grid& level = pyramid.levels[static_cast<std::size_t>(l)];
        const auto width = static_cast<float>(level.width);
        const auto height = static_cast<float>(level.height);
        for (std::int64_t point = 0; point < op.points; ++point) {
          const std::int64_t sample = head * samples + l * op.points + point;
          float x = offsets[2 * sample];
          float y = offsets[2 * sample + 1];
          if (reference.is_box) {
            const auto points = static_cast<float>(op.points);
            x = reference.x + x / points * reference.width * 0.5F;
            y = reference.y + y / points * reference.height * 0.5F;
          } else {
            x = reference.x + x / width;
            y = reference.y + y / height;
          }
          add_sample(op.value, level, head * head_dim, head_dim, x * width - 0.5F,
                     y * height - 0.5F, weights[sample], sampled + head * head_dim);
        }
      }
    }

    multiply_rows(sampled, op.value.cols, 1, output_weight, projected, dim);
    accumulate(1.0F, op.query.row<float>(q), dim, projected);
    normalise_row(projected, op.weights->norm, op.output.row<float>(q));
  };

  for (std::size_t sample = 0; sample < op.pyramids.size(); ++sample) {
    const ops::Pyramid& pyramid = op.pyramids[sample];
    const ops::Segment queries = op.query_segments[sample];
    for_rows(queries.rows, [&](std::int64_t r, int worker) {
      const std::int64_t q = queries.begin + r;
      if (op.reference.empty()) {
        attend(pyramid, q, cell_centre(pyramid, r), axes_of_cell(op.pyramids, sample, r), worker);
      } else {
        const float* box = op.reference.row<float>(q);
        attend(pyramid, q, {box[0], box[1], box[2], box[3], true}, {q}, worker);
      }
    });
  }
}

}  // namespace itemcrop::cpu::reference
