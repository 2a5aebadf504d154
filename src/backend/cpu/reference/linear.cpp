#include <algorithm>
#include <cmath>

#include "backend/cpu/reference/reference_executor.h"
#include "backend/cpu/reference/rows.h"

namespace itemcrop::cpu::reference {

void ReferenceExecutor::execute(const ops::Linear& op) {
  const auto& reference = static_cast<const ReferenceLinear&>(op.weights);
  constexpr std::int64_t kBlock = 16;
  scratch_.reserve(static_cast<std::size_t>(kBlock * (op.x.cols + op.y.cols)));
  for_row_blocks(op.x.rows, [&](std::int64_t first, std::int64_t count, int worker) {
    float* input = scratch_.of(worker);
    float* output = input + kBlock * op.x.cols;
    for (std::int64_t r = 0; r < count; ++r) {
      if (op.options.norm_before != nullptr) {
        normalise_row(op.x.row<float>(first + r), *op.options.norm_before, input + r * op.x.cols);
      } else {
        std::copy_n(op.x.row<float>(first + r), op.x.cols, input + r * op.x.cols);
      }
    }
    multiply_rows(input, op.x.cols, count, reference, output, op.y.cols);
    for (std::int64_t r = 0; r < count; ++r) {
      float* row = output + r * op.y.cols;
      activate_row(row, op.y.cols, op.options.activation);
      if (!op.options.residual.empty()) {
        accumulate(1.0F, op.options.residual.row<float>(first + r), op.y.cols, row);
      }
      if (op.options.norm_after != nullptr) normalise_row(row, *op.options.norm_after, row);
      std::copy_n(row, op.y.cols, op.y.row<float>(first + r));
    }
  });
}

void ReferenceExecutor::execute(const ops::FeedForward& op) {
  const auto& up = static_cast<const ReferenceLinear&>(*op.weights.up);
  const auto& down = static_cast<const ReferenceLinear&>(*op.weights.down);
  const std::int64_t hidden_cols = up.outputs();
  constexpr std::int64_t kBlock = 16;
  scratch_.reserve(static_cast<std::size_t>(kBlock * (2 * op.x.cols + hidden_cols)));
  for_row_blocks(op.x.rows, [&](std::int64_t first, std::int64_t count, int worker) {
    float* input = scratch_.of(worker);
    float* hidden = input + kBlock * op.x.cols;
    float* output = hidden + kBlock * hidden_cols;
    for (std::int64_t r = 0; r < count; ++r) {
      if (op.norm_before != nullptr) {
        normalise_row(op.x.row<float>(first + r), *op.norm_before, input + r * op.x.cols);
      } else {
        std::copy_n(op.x.row<float>(first + r), op.x.cols, input + r * op.x.cols);
      }
    }
    multiply_rows(input, op.x.cols, count, up, hidden, hidden_cols);
    for (std::int64_t r = 0; r < count; ++r) {
      activate_row(hidden + r * hidden_cols, hidden_cols, op.weights.activation);
    }
    multiply_rows(hidden, hidden_cols, count, down, output, op.x.cols);
    for (std::int64_t r = 0; r < count; ++r) {
      float* row = output + r * op.x.cols;
      accumulate(1.0F, op.x.row<float>(first + r), op.x.cols, row);
      if (op.norm_after != nullptr) normalise_row(row, *op.norm_after, row);
      std::copy_n(row, op.x.cols, op.y.row<float>(first + r));
    }
  });
}

void ReferenceExecutor::execute(const ops::LayerNorm& op) {
  for_rows(op.x.rows, [&](std::int64_t r, int) {
    normalise_row(op.x.row<float>(r), op.norm, op.y.row<float>(r));
  });
}

void ReferenceExecutor::execute(const ops::GroupNorm& op) {
  const std::int64_t width = op.x.cols / op.groups;
  const auto tasks = static_cast<std::int64_t>(op.from.size()) * op.groups;
  pool_.parallel_for(tasks, [&](std::int64_t task, int) {
    const auto sample = static_cast<std::size_t>(task / op.groups);
    const std::int64_t first = task % op.groups * width;
    const ops::Segment source = op.from[sample];
    const auto for_values = [&](auto&& body) {
      for (std::int64_t r = 0; r < source.rows; ++r) {
        for (std::int64_t c = first; c < first + width; ++c) body(r, c);
      }
    };
    const auto count = static_cast<double>(source.rows * width);
    double sum = 0;
    for_values(
        [&](std::int64_t r, std::int64_t c) { sum += op.x.row<float>(source.begin + r)[c]; });
    const double mean = sum / count;
    double squares = 0;
    for_values([&](std::int64_t r, std::int64_t c) {
      const double centred = op.x.row<float>(source.begin + r)[c] - mean;
      squares += centred * centred;
    });
    const double scale = 1.0 / std::sqrt(squares / count + op.norm.epsilon);
    for_values([&](std::int64_t r, std::int64_t c) {
      const double normal = (op.x.row<float>(source.begin + r)[c] - mean) * scale;
      op.y.row<float>(op.to[sample].begin + r)[c] =
          static_cast<float>(normal) * op.norm.weight->data()[c] + op.norm.bias->data()[c];
    });
  });
}

void ReferenceExecutor::execute(const ops::Add& op) {
  for_rows(op.y.rows, [&](std::int64_t r, int) {
    for (std::int64_t c = 0; c < op.y.cols; ++c) {
      op.y.row<float>(r)[c] = op.a.row<float>(r)[c] + op.b.row<float>(r)[c];
    }
  });
}

void ReferenceExecutor::execute(const ops::AddScaled& op) {
  for_rows(op.y.rows, [&](std::int64_t r, int) {
    for (std::int64_t c = 0; c < op.y.cols; ++c) {
      op.y.row<float>(r)[c] = op.a.row<float>(r)[c] + op.scale.data()[c] * op.b.row<float>(r)[c];
    }
  });
}

void ReferenceExecutor::execute(const ops::DotRows& op) {
  for_rows(op.x.rows, [&](std::int64_t r, int) {
    *op.y.row<float>(r) = dot(op.x.row<float>(r), op.vector.data(), op.x.cols);
  });
}

}  // namespace itemcrop::cpu::reference
