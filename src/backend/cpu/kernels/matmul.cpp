#include "backend/cpu/kernels/matmul.h"

#include <algorithm>
#include <cstring>

// foreach_target.h includes this file again for every target, and so comes first.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/kernels/matmul.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace itemcrop::cpu::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;

/// Sums that fit in the registers, besides B's vectors: 6 x 4 of 32, or 6 x 2 of 16.
constexpr int kRowBlock = 6;
constexpr int kVectorBlock = HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM ? 4 : 2;

/// A block of kRows rows and kVectors vectors of columns, of which the last stores `last` lanes.
template <int kRows, int kVectors>
HWY_INLINE void multiply_block(const Matmul& m, std::int64_t row, std::int64_t col,
                               std::int64_t last) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  hn::Vec<D> sums[kRows][kVectors];
  const float* a = m.a + row * m.a_row_stride;
  float* c = m.c + row * m.c_stride + col;
  const bool whole = last == lanes;
  HWY_ALIGN float tail[HWY_MAX_BYTES / sizeof(float)] = {};

#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) sums[i][j] = hn::Zero(d);
  }
  if (m.accumulate) {
    for (int i = 0; i < kRows; ++i) {
      for (int j = 0; j + 1 < kVectors; ++j) {
        sums[i][j] = hn::LoadU(d, c + i * m.c_stride + j * lanes);
      }
      const float* end = c + i * m.c_stride + (kVectors - 1) * lanes;
      if (!whole) std::memcpy(tail, end, static_cast<std::size_t>(last) * sizeof(float));
      sums[i][kVectors - 1] = hn::LoadU(d, whole ? end : tail);
    }
  }
  const float* b = m.b + col;
  for (std::int64_t k = 0; k < m.inner; ++k) {
    hn::Vec<D> values[kVectors];
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) values[j] = hn::LoadU(d, b + j * lanes);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const auto factor = hn::Set(d, a[i * m.a_row_stride]);
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) sums[i][j] = hn::MulAdd(factor, values[j], sums[i][j]);
    }
    a += m.a_inner_stride;
    b += m.b_stride;
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j + 1 < kVectors; ++j) {
      hn::StoreU(sums[i][j], d, c + i * m.c_stride + j * lanes);
    }
    float* end = c + i * m.c_stride + (kVectors - 1) * lanes;
    hn::StoreU(sums[i][kVectors - 1], d, whole ? end : tail);
    if (!whole) std::memcpy(end, tail, static_cast<std::size_t>(last) * sizeof(float));
  }
}

template <int kVectors>
HWY_INLINE void multiply_columns(const Matmul& m, std::int64_t col, std::int64_t last) {
  std::int64_t row = 0;
  for (; row + kRowBlock <= m.rows; row += kRowBlock) {
    multiply_block<kRowBlock, kVectors>(m, row, col, last);
  }
  switch (m.rows - row) {
    case 5:
      return multiply_block<5, kVectors>(m, row, col, last);
    case 4:
      return multiply_block<4, kVectors>(m, row, col, last);
    case 3:
      return multiply_block<3, kVectors>(m, row, col, last);
    case 2:
      return multiply_block<2, kVectors>(m, row, col, last);
    case 1:
      return multiply_block<1, kVectors>(m, row, col, last);
    default:
      return;
  }
}

void MatmulBlocks(const Matmul& m) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(D()));
  std::int64_t col = 0;
  while (col < m.cols) {
    const std::int64_t left = m.cols - col;
    const std::int64_t vectors = std::min<std::int64_t>(kVectorBlock, (left + lanes - 1) / lanes);
    const std::int64_t last = std::min(lanes, left - (vectors - 1) * lanes);
    if (vectors == 1) {
      multiply_columns<1>(m, col, last);
    } else if (vectors == 2) {
      multiply_columns<2>(m, col, last);
    } else if constexpr (kVectorBlock > 2) {
      if (vectors == 3) {
        multiply_columns<3>(m, col, last);
      } else {
        multiply_columns<4>(m, col, last);
      }
    }
    col += vectors * lanes;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace itemcrop::cpu::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace itemcrop::cpu::kernels {

HWY_EXPORT(MatmulBlocks);

void matmul(const Matmul& args) { HWY_DYNAMIC_DISPATCH(MatmulBlocks)(args); }

void transpose(const float* x, std::int64_t x_stride, std::int64_t rows, std::int64_t cols,
               float* y, std::int64_t y_stride) {
  // Blocks keep both sides in the L1 cache.
  constexpr std::int64_t kBlock = 16;
  for (std::int64_t r0 = 0; r0 < rows; r0 += kBlock) {
    const std::int64_t r1 = std::min(r0 + kBlock, rows);
    for (std::int64_t c = 0; c < cols; ++c) {
      for (std::int64_t r = r0; r < r1; ++r) y[c * y_stride + r] = x[r * x_stride + c];
    }
  }
}

}  // namespace itemcrop::cpu::kernels
#endif  // HWY_ONCE
