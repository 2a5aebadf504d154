#include <algorithm>
#include <cmath>

#include "backend/cpu/reference/reference_executor.h"
#include "backend/cpu/reference/rows.h"

namespace itemcrop::cpu::reference {

void ReferenceExecutor::linear(Matrix x, const ops::Linear& weight, Matrix y,
                               const ops::LinearOptions& options) {
  const auto& reference = static_cast<const ReferenceLinear&>(weight);
  constexpr std::int64_t kBlock = 16;
  scratch_.reserve(static_cast<std::size_t>(kBlock * (x.cols + y.cols)));
  for_row_blocks(x.rows, [&](std::int64_t first, std::int64_t count, int worker) {
    float* input = scratch_.of(worker);
    float* output = input + kBlock * x.cols;
    for (std::int64_t r = 0; r < count; ++r) {
      if (options.norm_before != nullptr) {
        normalise_row(x.row<float>(first + r), *options.norm_before, input + r * x.cols);
      } else {
        std::copy_n(x.row<float>(first + r), x.cols, input + r * x.cols);
      }
    }
    multiply_rows(input, x.cols, count, reference, output, y.cols);
    for (std::int64_t r = 0; r < count; ++r) {
      float* row = output + r * y.cols;
      activate_row(row, y.cols, options.activation);
      if (!options.residual.empty()) {
        accumulate(1.0F, options.residual.row<float>(first + r), y.cols, row);
      }
      if (options.norm_after != nullptr) normalise_row(row, *options.norm_after, row);
      std::copy_n(row, y.cols, y.row<float>(first + r));
    }
  });
}

void ReferenceExecutor::feed_forward(Matrix x, const ops::FeedForwardWeights& weights,
                                     const ops::Norm* norm_before, const ops::Norm* norm_after,
                                     Matrix y) {
  const auto& up = static_cast<const ReferenceLinear&>(*weights.up);
  const auto& down = static_cast<const ReferenceLinear&>(*weights.down);
  const std::int64_t hidden_cols = up.outputs();
  constexpr std::int64_t kBlock = 16;
  scratch_.reserve(static_cast<std::size_t>(kBlock * (2 * x.cols + hidden_cols)));
  for_row_blocks(x.rows, [&](std::int64_t first, std::int64_t count, int worker) {
    float* input = scratch_.of(worker);
    float* hidden = input + kBlock * x.cols;
    float* output = hidden + kBlock * hidden_cols;
    for (std::int64_t r = 0; r < count; ++r) {
      if (norm_before != nullptr) {
        normalise_row(x.row<float>(first + r), *norm_before, input + r * x.cols);
      } else {
        std::copy_n(x.row<float>(first + r), x.cols, input + r * x.cols);
      }
    }
    multiply_rows(input, x.cols, count, up, hidden, hidden_cols);
    for (std::int64_t r = 0; r < count; ++r) {
      activate_row(hidden + r * hidden_cols, hidden_cols, weights.activation);
    }
    multiply_rows(hidden, hidden_cols, count, down, output, x.cols);
    for (std::int64_t r = 0; r < count; ++r) {
      float* row = output + r * x.cols;
      accumulate(1.0F, x.row<float>(first + r), x.cols, row);
      if (norm_after != nullptr) normalise_row(row, *norm_after, row);
      std::copy_n(row, x.cols, y.row<float>(first + r));
    }
  });
}

void ReferenceExecutor::layer_norm(Matrix x, const ops::Norm& norm, Matrix y) {
  for_rows(x.rows,
           [&](std::int64_t r, int) { normalise_row(x.row<float>(r), norm, y.row<float>(r)); });
}

void ReferenceExecutor::group_norm(Matrix x, std::span<const ops::Segment> from, int groups,
                                   const ops::Norm& norm, Matrix y,
                                   std::span<const ops::Segment> to) {
  const std::int64_t width = x.cols / groups;
  const auto tasks = static_cast<std::int64_t>(from.size()) * groups;
  pool_.parallel_for(tasks, [&](std::int64_t task, int) {
    const auto sample = static_cast<std::size_t>(task / groups);
    const std::int64_t first = task % groups * width;
    const ops::Segment source = from[sample];
    const auto for_values = [&](auto&& body) {
      for (std::int64_t r = 0; r < source.rows; ++r) {
        for (std::int64_t c = first; c < first + width; ++c) body(r, c);
      }
    };
    const auto count = static_cast<double>(source.rows * width);
    double sum = 0;
    for_values([&](std::int64_t r, std::int64_t c) { sum += x.row<float>(source.begin + r)[c]; });
    const double mean = sum / count;
    double squares = 0;
    for_values([&](std::int64_t r, std::int64_t c) {
      const double centred = x.row<float>(source.begin + r)[c] - mean;
      squares += centred * centred;
    });
    const double scale = 1.0 / std::sqrt(squares / count + norm.epsilon);
    for_values([&](std::int64_t r, std::int64_t c) {
      const double normal = (x.row<float>(source.begin + r)[c] - mean) * scale;
      y.row<float>(to[sample].begin + r)[c] =
          static_cast<float>(normal) * norm.weight->data()[c] + norm.bias->data()[c];
    });
  });
}

void ReferenceExecutor::add(Matrix a, Matrix b, Matrix y) {
  for_rows(y.rows, [&](std::int64_t r, int) {
    for (std::int64_t c = 0; c < y.cols; ++c) {
      y.row<float>(r)[c] = a.row<float>(r)[c] + b.row<float>(r)[c];
    }
  });
}

void ReferenceExecutor::add_scaled(Matrix a, const ops::Constant& scale, Matrix b, Matrix y) {
  for_rows(y.rows, [&](std::int64_t r, int) {
    for (std::int64_t c = 0; c < y.cols; ++c) {
      y.row<float>(r)[c] = a.row<float>(r)[c] + scale.data()[c] * b.row<float>(r)[c];
    }
  });
}

void ReferenceExecutor::dot_rows(Matrix x, const ops::Constant& vector, Matrix y) {
  for_rows(x.rows, [&](std::int64_t r, int) {
    *y.row<float>(r) = dot(x.row<float>(r), vector.data(), x.cols);
  });
}

}  // namespace itemcrop::cpu::reference
