#pragma once

#include <cstdint>

#include "backend/cpu/operand.h"

namespace itemcrop::cpu::kernels {

/// y = layer_norm(x + addend), both parts optional. Strides are in elements.
struct RowTransform {
  const float* x = nullptr;
  std::int64_t x_stride = 0;
  const float* addend = nullptr;
  std::int64_t addend_stride = 0;
  const float* norm_weight = nullptr;  ///< [cols]; null: no norm
  const float* norm_bias = nullptr;    ///< [cols]
  float epsilon = 0;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
};

/// `y` has elements of `type` and may be x or addend where that is fp32.
void transform_rows(const RowTransform& transform, Operand type, void* y, std::int64_t y_stride);

/// Rounds values to bf16 in place.
void round_rows(float* x, std::int64_t stride, std::int64_t rows, std::int64_t cols);

/// y = a + scale * b, scale one value a column.
void add_scaled_row(const float* a, const float* scale, const float* b, std::int64_t cols,
                    float* y);

/// sums[c] += x[r][c] over the rows.
void sum_columns(const float* x, std::int64_t stride, std::int64_t rows, std::int64_t cols,
                 float* sums);
/// sums[c] += (x[r][c] - centre[c])^2 over the rows.
void sum_squares(const float* x, std::int64_t stride, const float* centre, std::int64_t rows,
                 std::int64_t cols, float* sums);
/// y = x * scale + shift, one of each a column.
void scale_rows(const float* x, std::int64_t x_stride, const float* scale, const float* shift,
                std::int64_t rows, std::int64_t cols, float* y, std::int64_t y_stride);

}  // namespace itemcrop::cpu::kernels
