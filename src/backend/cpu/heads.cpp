#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "backend/cpu/executor.h"
#include "backend/cpu/kernels/matmul.h"
#include "ops/geometry.h"

namespace itemcrop::cpu {
namespace {

using ops::Proposal;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

float sigmoid(float x) { return 1.0F / (1.0F + std::exp(-x)); }

float logit(float p) { return std::log(p / (1.0F - p)); }

}  // namespace

void CpuExecutor::execute(const ops::MaskProposals& op) {
  for (const ops::Pyramid& pyramid : op.pyramids) {
    for (std::size_t l = 0; l < pyramid.levels.size(); ++l) {
      const ops::Grid& level = pyramid.levels[l];
      for_tasks(level.height, [&](std::int64_t line, Workspace&) {
        for (std::int64_t column = 0; column < level.width; ++column) {
          const std::int64_t cell = line * level.width + column;
          const std::int64_t row = level.begin + cell;
          if (!ops::proposal_of(level, l, cell).valid()) {
            std::fill_n(op.y.row<float>(row), op.y.cols, 0.0F);
          } else if (op.y.row<float>(row) != op.x.row<float>(row)) {
            std::copy_n(op.x.row<float>(row), op.x.cols, op.y.row<float>(row));
          }
        }
      });
    }
  }
}

void CpuExecutor::score_tiles(const ops::SimilarityArgs& args, const TileScores& use) {
  shared_.reset();
  std::vector<float*> transposed;
  for (const ops::Segment& tokens : args.text_segments) {
    transposed.push_back(shared_.take<float>(args.x.cols * tokens.rows));
    kernels::transpose(args.text.row<float>(tokens.begin), args.text.stride, tokens.rows,
                       args.x.cols, transposed.back(), tokens.rows);
  }
  for_tiles(args.segments, [&](const RowTile& tile, Workspace& workspace) {
    const std::int64_t tokens = args.text_segments[tile.segment].rows;
    auto* scores = workspace.take<float>(tile.rows * tokens);
    kernels::matmul({.a = args.x.row<float>(tile.begin),
                     .a_row_stride = args.x.stride,
                     .b = transposed[tile.segment],
                     .b_stride = tokens,
                     .c = scores,
                     .c_stride = tokens,
                     .rows = tile.rows,
                     .cols = tokens,
                     .inner = args.x.cols});
    use(tile, scores, tokens);
  });
}

void CpuExecutor::execute(const ops::Similarity& op) {
  score_tiles(op.args, [&](const RowTile& tile, const float* scores, std::int64_t tokens) {
    for (std::int64_t r = 0; r < tile.rows; ++r) {
      float* output = op.y.row<float>(tile.begin + r);
      std::transform(scores + r * tokens, scores + (r + 1) * tokens, output,
                     [&](float score) { return op.args.scale * score + op.args.bias; });
      std::fill(output + tokens, output + op.y.cols, -kInfinity);
    }
  });
}

void CpuExecutor::execute(const ops::MaxSimilarity& op) {
  score_tiles(op.args, [&](const RowTile& tile, const float* scores, std::int64_t tokens) {
    for (std::int64_t r = 0; r < tile.rows; ++r) {
      const float* row = scores + r * tokens;
      const float highest = *std::max_element(row, row + tokens);
      *op.y.row<float>(tile.begin + r) = op.args.scale * highest + op.args.bias;
    }
  });
}

void CpuExecutor::execute(const ops::TopK& op) {
  // NaN ranks last: comparing it would break the order that sorting relies on.
  const auto score_of = [&](std::int32_t row) {
    const float score = *op.scores.row<float>(row);
    return std::isnan(score) ? -kInfinity : score;
  };
  const auto before = [&](std::int32_t a, std::int32_t b) {
    const float score_a = score_of(a);
    const float score_b = score_of(b);
    return score_a != score_b ? score_a > score_b : a < b;
  };
  std::int64_t output = 0;
  for (std::size_t sample = 0; sample < op.segments.size(); ++sample) {
    std::vector<std::int32_t> rows(static_cast<std::size_t>(op.segments[sample].rows));
    std::iota(rows.begin(), rows.end(), static_cast<std::int32_t>(op.segments[sample].begin));
    const auto end = rows.begin() + op.counts[sample];
    std::nth_element(rows.begin(), end, rows.end(), before);
    std::sort(rows.begin(), end, before);
    for (auto row = rows.begin(); row != end; ++row) *op.y.row<std::int32_t>(output++) = *row;
  }
}

void CpuExecutor::execute(const ops::ProposalBoxes& op) {
  for (std::int64_t r = 0; r < op.y.rows; ++r) {
    const Proposal proposal = ops::proposal_of_row(op.pyramids, *op.rows.row<std::int32_t>(r));
    const float values[] = {proposal.x, proposal.y, proposal.edge, proposal.edge};
    for (int i = 0; i < 4; ++i) {
      op.y.row<float>(r)[i] =
          proposal.valid() ? sigmoid(op.delta.row<float>(r)[i] + logit(values[i])) : 1.0F;
    }
  }
}

void CpuExecutor::execute(const ops::RefineBoxes& op) {
  constexpr float kEpsilon = 1e-5F;
  for (std::int64_t r = 0; r < op.y.rows; ++r) {
    for (int i = 0; i < 4; ++i) {
      const float box = std::clamp(op.boxes.row<float>(r)[i], kEpsilon, 1.0F - kEpsilon);
      op.y.row<float>(r)[i] = sigmoid(op.delta.row<float>(r)[i] + logit(box));
    }
  }
}

}  // namespace itemcrop::cpu
