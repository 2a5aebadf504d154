#include "backend/cpu/reference/rows.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace itemcrop::cpu::reference {

void multiply_rows(const float* x, std::int64_t x_stride, std::int64_t rows,
                   const ReferenceLinear& weight, float* y, std::int64_t y_stride) {
  // A few rows share each pass over the weights; a tile of columns keeps the sums in the L1 cache.
  // Neither changes the order in which one value's products are summed.
  constexpr std::int64_t kRows = 4;
  constexpr std::int64_t kColumns = 128;
  const std::int64_t outputs = weight.outputs();
  for (std::int64_t first_row = 0; first_row < rows; first_row += kRows) {
    const std::int64_t last_row = std::min(first_row + kRows, rows);
    for (std::int64_t column = 0; column < outputs; column += kColumns) {
      const std::int64_t width = std::min(kColumns, outputs - column);
      for (std::int64_t r = first_row; r < last_row; ++r) {
        std::copy_n(weight.bias() + column, width, y + r * y_stride + column);
      }
      for (std::int64_t k = 0; k < weight.inputs(); ++k) {
        for (std::int64_t r = first_row; r < last_row; ++r) {
          accumulate(x[r * x_stride + k], weight.row(k) + column, width, y + r * y_stride + column);
        }
      }
    }
  }
}

void normalise_row(const float* x, const ops::Norm& norm, float* y) {
  const std::int64_t cols = norm.weight->cols();
  double sum = 0;
  for (std::int64_t c = 0; c < cols; ++c) sum += x[c];
  const double mean = sum / static_cast<double>(cols);
  double squares = 0;
  for (std::int64_t c = 0; c < cols; ++c) squares += (x[c] - mean) * (x[c] - mean);
  const double variance = squares / static_cast<double>(cols);
  const double scale = 1.0 / std::sqrt(variance + norm.epsilon);
  for (std::int64_t c = 0; c < cols; ++c) {
    y[c] =
        static_cast<float>((x[c] - mean) * scale) * norm.weight->data()[c] + norm.bias->data()[c];
  }
}

void activate_row(float* x, std::int64_t cols, ops::Activation activation) {
  switch (activation) {
    case ops::Activation::kNone:
      return;
    case ops::Activation::kRelu:
      for (std::int64_t c = 0; c < cols; ++c) x[c] = std::max(x[c], 0.0F);
      return;
    case ops::Activation::kGelu:
      for (std::int64_t c = 0; c < cols; ++c) {
        x[c] *= 0.5F * (1.0F + std::erf(x[c] / std::numbers::sqrt2_v<float>));
      }
      return;
  }
}

void softmax_row(float* scores, std::int64_t count) {
  const float highest = *std::max_element(scores, scores + count);
  float sum = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    scores[i] = std::exp(scores[i] - highest);
    sum += scores[i];
  }
  for (std::int64_t i = 0; i < count; ++i) scores[i] /= sum;
}

float dot(const float* a, const float* b, std::int64_t count) {
  float sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

void accumulate(float factor, const float* x, std::int64_t count, float* y) {
  for (std::int64_t i = 0; i < count; ++i) y[i] += factor * x[i];
}

float sigmoid(float x) { return 1.0F / (1.0F + std::exp(-x)); }

float logit(float p) { return std::log(p / (1.0F - p)); }

}  // namespace itemcrop::cpu::reference
