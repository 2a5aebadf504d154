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

/// `row` and `token` count rows of the whole matrices.
float logit_of(const ops::SimilarityArgs& args, std::int64_t row, std::int64_t token) {
  return args.scale * dot(args.x.row<float>(row), args.text.row<float>(token), args.x.cols) +
         args.bias;
}

}  // namespace

void ReferenceExecutor::execute(const ops::MaskProposals& op) {
  for (const ops::Pyramid& pyramid : op.pyramids) {
    for (std::size_t l = 0; l < pyramid.levels.size(); ++l) {
      const ops::Grid& level = pyramid.levels[l];
      for_rows(level.rows(), [&](std::int64_t cell, int) {
        const std::int64_t row = level.begin + cell;
        if (ops::proposal_of(level, l, cell).valid()) {
          std::copy_n(op.x.row<float>(row), op.x.cols, op.y.row<float>(row));
        } else {
          std::fill_n(op.y.row<float>(row), op.y.cols, 0.0F);
        }
      });
    }
  }
}

void ReferenceExecutor::execute(const ops::Similarity& op) {
  const ops::SimilarityArgs& args = op.args;
  for (std::size_t sample = 0; sample < args.segments.size(); ++sample) {
    const ops::Segment tokens = args.text_segments[sample];
    for_rows(args.segments[sample].rows, [&](std::int64_t r, int) {
      const std::int64_t row = args.segments[sample].begin + r;
      for (std::int64_t t = 0; t < op.y.cols; ++t) {
        op.y.row<float>(row)[t] =
            t < tokens.rows ? logit_of(args, row, tokens.begin + t) : -kInfinity;
      }
    });
  }
}

void ReferenceExecutor::execute(const ops::MaxSimilarity& op) {
  const ops::SimilarityArgs& args = op.args;
  for (std::size_t sample = 0; sample < args.segments.size(); ++sample) {
    const ops::Segment tokens = args.text_segments[sample];
    for_rows(args.segments[sample].rows, [&](std::int64_t r, int) {
      const std::int64_t row = args.segments[sample].begin + r;
      float highest = -kInfinity;
      for (std::int64_t t = tokens.begin; t < tokens.end(); ++t) {
        highest = std::max(highest, logit_of(args, row, t));
      }
      *op.y.row<float>(row) = highest;
    });
  }
}

void ReferenceExecutor::execute(const ops::TopK& op) {
  // NaN ranks last: comparing it would break the order that the sort relies on.
  const auto score_of = [&](std::int32_t row) {
    const float score = *op.scores.row<float>(row);
    return std::isnan(score) ? -kInfinity : score;
  };
  std::int64_t output = 0;
  for (std::size_t sample = 0; sample < op.segments.size(); ++sample) {
    const ops::Segment segment = op.segments[sample];
    std::vector<std::int32_t> rows(static_cast<std::size_t>(segment.rows));
    std::iota(rows.begin(), rows.end(), static_cast<std::int32_t>(segment.begin));
    std::partial_sort(rows.begin(), rows.begin() + op.counts[sample], rows.end(),
                      [&](std::int32_t a, std::int32_t b) {
                        return score_of(a) != score_of(b) ? score_of(a) > score_of(b) : a < b;
                      });
    for (std::int64_t i = 0; i < op.counts[sample]; ++i) {
      *op.y.row<std::int32_t>(output++) = rows[static_cast<std::size_t>(i)];
    }
  }
}

void ReferenceExecutor::execute(const ops::ProposalBoxes& op) {
  for_rows(op.y.rows, [&](std::int64_t r, int) {
    const Proposal proposal = ops::proposal_of_row(op.pyramids, *op.rows.row<std::int32_t>(r));
    const float values[] = {proposal.x, proposal.y, proposal.edge, proposal.edge};
    for (int i = 0; i < 4; ++i) {
      op.y.row<float>(r)[i] =
          proposal.valid() ? sigmoid(op.delta.row<float>(r)[i] + logit(values[i])) : 1.0F;
    }
  });
}

void ReferenceExecutor::execute(const ops::RefineBoxes& op) {
  constexpr float kEpsilon = 1e-5F;
  for_rows(op.y.rows, [&](std::int64_t r, int) {
    for (int i = 0; i < 4; ++i) {
      const float box = std::clamp(op.boxes.row<float>(r)[i], kEpsilon, 1.0F - kEpsilon);
      op.y.row<float>(r)[i] = sigmoid(op.delta.row<float>(r)[i] + logit(box));
    }
  });
}

}  // namespace itemcrop::cpu::reference
