#pragma once

#include <cstdint>

namespace itemcrop::cpu::kernels {

/// C (+)= A B in fp32. A is [rows, inner] with any two strides (so also transposed), B is [inner,
/// cols] and C [rows, cols] row-major. Strides are in elements. B must be readable, not necessarily
/// meaningful, for kMatmulSlack floats past the end of its last row. The sum of each value runs
/// over `inner` in order, whatever the other sizes.
struct Matmul {
  const float* a = nullptr;
  std::int64_t a_row_stride = 0;
  std::int64_t a_inner_stride = 1;
  const float* b = nullptr;
  std::int64_t b_stride = 0;
  float* c = nullptr;
  std::int64_t c_stride = 0;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t inner = 0;
  bool accumulate = false;  ///< add to what C holds
};
inline constexpr std::int64_t kMatmulSlack = 16;

void matmul(const Matmul& args);

/// y[c][r] = x[r][c].
void transpose(const float* x, std::int64_t x_stride, std::int64_t rows, std::int64_t cols,
               float* y, std::int64_t y_stride);

}  // namespace itemcrop::cpu::kernels
