#include "backend/cpu/kernels/rows.h"

#include <cmath>

// foreach_target.h includes this file again for every target, and so comes first.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/kernels/rows.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "backend/cpu/kernels/bf16-inl.h"
#include "backend/cpu/kernels/columns-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace itemcrop::cpu::kernels {
namespace HWY_NAMESPACE {

template <Operand kType, class D, class V>
HWY_INLINE void store_as(D d, V value, void* y, std::int64_t at) {
  if constexpr (kType == Operand::kBf16) {
    store_bf16(d, value, static_cast<std::uint16_t*>(y) + at);
  } else if constexpr (kType == Operand::kRoundedF32) {
    hn::StoreU(round_to_bf16(d, value), d, static_cast<float*>(y) + at);
  } else {
    hn::StoreU(value, d, static_cast<float*>(y) + at);
  }
}

/// Sums f(tag, column) over the columns with four running sums.
template <class F>
HWY_INLINE float sum_over(std::int64_t cols, F&& f) {
  const Full d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  std::int64_t c = 0;
  for (; c + 4 * lanes <= cols; c += 4 * lanes) {
    s0 = hn::Add(s0, f(d, c));
    s1 = hn::Add(s1, f(d, c + lanes));
    s2 = hn::Add(s2, f(d, c + 2 * lanes));
    s3 = hn::Add(s3, f(d, c + 3 * lanes));
  }
  for (; c + lanes <= cols; c += lanes) s0 = hn::Add(s0, f(d, c));
  float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
  for (; c < cols; ++c) sum += hn::GetLane(f(One(), c));
  return sum;
}

template <Operand kType, bool kAdd, bool kNorm>
HWY_INLINE void transform_row(const RowTransform& t, const float* x, const float* addend, void* y,
                              std::int64_t y_offset) {
  const auto load = [&](auto d, std::int64_t c) HWY_ATTR {
    const auto value = hn::LoadU(d, x + c);
    if constexpr (kAdd) {
      return hn::Add(value, hn::LoadU(d, addend + c));
    } else {
      return value;
    }
  };
  if constexpr (kNorm) {
    const auto cols = static_cast<float>(t.cols);
    const float mean = sum_over(t.cols, load) / cols;
    const float variance = sum_over(t.cols,
                                    [&](auto d, std::int64_t c) HWY_ATTR {
                                      const auto centred = hn::Sub(load(d, c), hn::Set(d, mean));
                                      return hn::Mul(centred, centred);
                                    }) /
                           cols;
    const float scale = 1.0F / std::sqrt(variance + t.epsilon);
    for_columns(t.cols, [&](auto d, std::int64_t c) HWY_ATTR {
      const auto normal = hn::Mul(hn::Sub(load(d, c), hn::Set(d, mean)), hn::Set(d, scale));
      store_as<kType>(
          d, hn::MulAdd(normal, hn::LoadU(d, t.norm_weight + c), hn::LoadU(d, t.norm_bias + c)), y,
          y_offset + c);
    });
  } else {
    for_columns(t.cols, [&](auto d, std::int64_t c)
                            HWY_ATTR { store_as<kType>(d, load(d, c), y, y_offset + c); });
  }
}

template <Operand kType>
HWY_INLINE void transform_as(const RowTransform& t, void* y, std::int64_t y_stride) {
  for (std::int64_t r = 0; r < t.rows; ++r) {
    const float* x = t.x + r * t.x_stride;
    const float* addend = t.addend == nullptr ? nullptr : t.addend + r * t.addend_stride;
    const std::int64_t offset = r * y_stride;
    if (addend != nullptr && t.norm_weight != nullptr) {
      transform_row<kType, true, true>(t, x, addend, y, offset);
    } else if (addend != nullptr) {
      transform_row<kType, true, false>(t, x, addend, y, offset);
    } else if (t.norm_weight != nullptr) {
      transform_row<kType, false, true>(t, x, addend, y, offset);
    } else {
      transform_row<kType, false, false>(t, x, addend, y, offset);
    }
  }
}

void TransformRows(const RowTransform& transform, Operand type, void* y, std::int64_t y_stride) {
  switch (type) {
    case Operand::kF32:
      return transform_as<Operand::kF32>(transform, y, y_stride);
    case Operand::kRoundedF32:
      return transform_as<Operand::kRoundedF32>(transform, y, y_stride);
    case Operand::kBf16:
      return transform_as<Operand::kBf16>(transform, y, y_stride);
  }
}

void AddScaledRow(const float* a, const float* scale, const float* b, std::int64_t cols, float* y) {
  for_columns(cols, [&](auto d, std::int64_t c) HWY_ATTR {
    hn::StoreU(hn::MulAdd(hn::LoadU(d, scale + c), hn::LoadU(d, b + c), hn::LoadU(d, a + c)), d,
               y + c);
  });
}

void SumColumns(const float* x, std::int64_t stride, std::int64_t rows, std::int64_t cols,
                float* sums) {
  for (std::int64_t r = 0; r < rows; ++r) {
    for_columns(cols, [&](auto d, std::int64_t c) HWY_ATTR {
      hn::StoreU(hn::Add(hn::LoadU(d, sums + c), hn::LoadU(d, x + r * stride + c)), d, sums + c);
    });
  }
}

void SumSquares(const float* x, std::int64_t stride, const float* centre, std::int64_t rows,
                std::int64_t cols, float* sums) {
  for (std::int64_t r = 0; r < rows; ++r) {
    for_columns(cols, [&](auto d, std::int64_t c) HWY_ATTR {
      const auto centred = hn::Sub(hn::LoadU(d, x + r * stride + c), hn::LoadU(d, centre + c));
      hn::StoreU(hn::MulAdd(centred, centred, hn::LoadU(d, sums + c)), d, sums + c);
    });
  }
}

void ScaleRows(const float* x, std::int64_t x_stride, const float* scale, const float* shift,
               std::int64_t rows, std::int64_t cols, float* y, std::int64_t y_stride) {
  for (std::int64_t r = 0; r < rows; ++r) {
    for_columns(cols, [&](auto d, std::int64_t c) HWY_ATTR {
      hn::StoreU(hn::MulAdd(hn::LoadU(d, x + r * x_stride + c), hn::LoadU(d, scale + c),
                            hn::LoadU(d, shift + c)),
                 d, y + r * y_stride + c);
    });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace itemcrop::cpu::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace itemcrop::cpu::kernels {

HWY_EXPORT(TransformRows);
HWY_EXPORT(AddScaledRow);
HWY_EXPORT(SumColumns);
HWY_EXPORT(SumSquares);
HWY_EXPORT(ScaleRows);

void transform_rows(const RowTransform& transform, Operand type, void* y, std::int64_t y_stride) {
  HWY_DYNAMIC_DISPATCH(TransformRows)(transform, type, y, y_stride);
}

void round_rows(float* x, std::int64_t stride, std::int64_t rows, std::int64_t cols) {
  RowTransform transform;
  transform.x = x;
  transform.x_stride = stride;
  transform.rows = rows;
  transform.cols = cols;
  transform_rows(transform, Operand::kRoundedF32, x, stride);
}

void add_scaled_row(const float* a, const float* scale, const float* b, std::int64_t cols,
                    float* y) {
  HWY_DYNAMIC_DISPATCH(AddScaledRow)(a, scale, b, cols, y);
}

void sum_columns(const float* x, std::int64_t stride, std::int64_t rows, std::int64_t cols,
                 float* sums) {
  HWY_DYNAMIC_DISPATCH(SumColumns)(x, stride, rows, cols, sums);
}

void sum_squares(const float* x, std::int64_t stride, const float* centre, std::int64_t rows,
                 std::int64_t cols, float* sums) {
  HWY_DYNAMIC_DISPATCH(SumSquares)(x, stride, centre, rows, cols, sums);
}

void scale_rows(const float* x, std::int64_t x_stride, const float* scale, const float* shift,
                std::int64_t rows, std::int64_t cols, float* y, std::int64_t y_stride) {
  HWY_DYNAMIC_DISPATCH(ScaleRows)(x, x_stride, scale, shift, rows, cols, y, y_stride);
}

}  // namespace itemcrop::cpu::kernels
#endif  // HWY_ONCE
