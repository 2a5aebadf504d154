#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "backend/cpu/reference/reference_executor.h"
#include "backend/cpu/reference/rows.h"
#include "ops/geometry.h"

namespace itemcrop::cpu::reference {
namespace {

using ops::Proposal;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

void ReferenceExecutor::mask_proposals(Matrix x, std::span<const ops::Pyramid> pyramids, Matrix y) {
  for (const ops::Pyramid& pyramid : pyramids) {
    for (std::size_t l = 0; l < pyramid.levels.size(); ++l) {
      const ops::Grid& level = pyramid.levels[l];
      for_rows(level.rows(), [&](std::int64_t cell, int) {
        const std::int64_t row = level.begin + cell;
        if (ops::proposal_of(level, l, cell).valid()) {
          std::copy_n(x.row<float>(row), x.cols, y.row<float>(row));
        } else {
          std::fill_n(y.row<float>(row), y.cols, 0.0F);
        }
      });
    }
  }
}

void ReferenceExecutor::similarity(Matrix x, std::span<const ops::Segment> segments, Matrix text,
                                   std::span<const ops::Segment> text_segments, Matrix y) {
  for (std::size_t sample = 0; sample < segments.size(); ++sample) {
    const ops::Segment tokens = text_segments[sample];
    for_rows(segments[sample].rows, [&](std::int64_t r, int) {
      const std::int64_t row = segments[sample].begin + r;
      for (std::int64_t t = 0; t < y.cols; ++t) {
        y.row<float>(row)[t] =
            t < tokens.rows ? dot(x.row<float>(row), text.row<float>(tokens.begin + t), x.cols)
                            : -kInfinity;
      }
    });
  }
}

void ReferenceExecutor::max_similarity(Matrix x, std::span<const ops::Segment> segments,
                                       Matrix text, std::span<const ops::Segment> text_segments,
                                       Matrix y) {
  for (std::size_t sample = 0; sample < segments.size(); ++sample) {
    const ops::Segment tokens = text_segments[sample];
    for_rows(segments[sample].rows, [&](std::int64_t r, int) {
      const std::int64_t row = segments[sample].begin + r;
      float highest = -kInfinity;
      for (std::int64_t t = tokens.begin; t < tokens.end(); ++t) {
        highest = std::max(highest, dot(x.row<float>(row), text.row<float>(t), x.cols));
      }
      *y.row<float>(row) = highest;
    });
  }
}

void ReferenceExecutor::top_k(Matrix scores, std::span<const ops::Segment> segments,
                              std::span<const std::int64_t> counts, Matrix y) {
  // NaN ranks last: comparing it would break the order that the sort relies on.
  const auto score_of = [&](std::int32_t row) {
    const float score = *scores.row<float>(row);
    return std::isnan(score) ? -kInfinity : score;
  };
  std::int64_t output = 0;
  for (std::size_t sample = 0; sample < segments.size(); ++sample) {
    const ops::Segment segment = segments[sample];
    std::vector<std::int32_t> rows(static_cast<std::size_t>(segment.rows));
    std::iota(rows.begin(), rows.end(), static_cast<std::int32_t>(segment.begin));
    std::partial_sort(rows.begin(), rows.begin() + counts[sample], rows.end(),
                      [&](std::int32_t a, std::int32_t b) {
                        return score_of(a) != score_of(b) ? score_of(a) > score_of(b) : a < b;
                      });
    for (std::int64_t i = 0; i < counts[sample]; ++i) {
      *y.row<std::int32_t>(output++) = rows[static_cast<std::size_t>(i)];
    }
  }
}

void ReferenceExecutor::proposal_boxes(Matrix delta, Matrix rows,
                                       std::span<const ops::Pyramid> pyramids, Matrix y) {
  for_rows(y.rows, [&](std::int64_t r, int) {
    const Proposal proposal = ops::proposal_of_row(pyramids, *rows.row<std::int32_t>(r));
    const float values[] = {proposal.x, proposal.y, proposal.edge, proposal.edge};
    for (int i = 0; i < 4; ++i) {
      y.row<float>(r)[i] =
          proposal.valid() ? sigmoid(delta.row<float>(r)[i] + logit(values[i])) : 1.0F;
    }
  });
}

void ReferenceExecutor::refine_boxes(Matrix delta, Matrix boxes, Matrix y) {
  constexpr float kEpsilon = 1e-5F;
  for_rows(y.rows, [&](std::int64_t r, int) {
    for (int i = 0; i < 4; ++i) {
      const float box = std::clamp(boxes.row<float>(r)[i], kEpsilon, 1.0F - kEpsilon);
      y.row<float>(r)[i] = sigmoid(delta.row<float>(r)[i] + logit(box));
    }
  });
}

}  // namespace itemcrop::cpu::reference
