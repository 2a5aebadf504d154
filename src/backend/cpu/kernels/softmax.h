#pragma once

#include <cstdint>

namespace itemcrop::cpu::kernels {

/// Each row: x = softmax(scale * x + bias + mask) over its first `cols` values; bias and mask are
/// optional, one row for each of x. Strides are in elements. The vector that holds a row's end must
/// be readable in whole.
struct SoftmaxRows {
  float* x = nullptr;
  std::int64_t stride = 0;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  float scale = 1.0F;
  const float* bias = nullptr;
  std::int64_t bias_stride = 0;
  const float* mask = nullptr;
  std::int64_t mask_stride = 0;
};
void softmax_rows(const SoftmaxRows& args);

/// highest[c] = max(highest[c], x[r][c]) over the rows.
void max_columns(const float* x, std::int64_t stride, std::int64_t rows, std::int64_t cols,
                 float* highest);

/// y = exp(x - highest[column]); sums[c] += the y of the column.
void exp_columns(const float* x, std::int64_t x_stride, const float* highest, std::int64_t rows,
                 std::int64_t cols, float* y, std::int64_t y_stride, float* sums);

}  // namespace itemcrop::cpu::kernels
