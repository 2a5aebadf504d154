#include "backend/cpu/kernels/softmax.h"

#include <limits>

// foreach_target.h includes this file again for every target, and so comes first.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/kernels/softmax.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "backend/cpu/kernels/columns-inl.h"
#include "backend/cpu/kernels/exp-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace itemcrop::cpu::kernels {
namespace HWY_NAMESPACE {

/// Whole vectors, then one whose lanes past the row's end are left out: body(column, valid lanes).
template <class F>
HWY_INLINE void for_vectors(std::int64_t cols, F&& body) {
  const Full d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t c = 0;
  const auto all = hn::FirstN(d, static_cast<std::size_t>(lanes));
  for (; c + lanes <= cols; c += lanes) body(c, all);
  if (c < cols) body(c, hn::FirstN(d, static_cast<std::size_t>(cols - c)));
}

void Softmax(const SoftmaxRows& s) {
  const Full d;
  const auto lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  const auto scale = hn::Set(d, s.scale);
  for (std::int64_t r = 0; r < s.rows; ++r) {
    float* x = s.x + r * s.stride;
    const float* bias = s.bias == nullptr ? nullptr : s.bias + r * s.bias_stride;
    const float* mask = s.mask == nullptr ? nullptr : s.mask + r * s.mask_stride;
    auto most = lowest;
    for_vectors(s.cols, [&](std::int64_t c, auto valid) HWY_ATTR {
      auto value = hn::Mul(hn::LoadU(d, x + c), scale);
      if (bias != nullptr) value = hn::Add(value, hn::LoadU(d, bias + c));
      if (mask != nullptr) value = hn::Add(value, hn::LoadU(d, mask + c));
      hn::BlendedStore(value, valid, d, x + c);
      most = hn::Max(most, hn::IfThenElse(valid, value, lowest));
    });
    const auto highest = hn::MaxOfLanes(d, most);
    auto sum = hn::Zero(d);
    for_vectors(s.cols, [&](std::int64_t c, auto valid) HWY_ATTR {
      const auto value = fast_exp(d, hn::Sub(hn::LoadU(d, x + c), highest));
      hn::BlendedStore(value, valid, d, x + c);
      sum = hn::Add(sum, hn::IfThenElseZero(valid, value));
    });
    const auto inverse = hn::Set(d, 1.0F / hn::GetLane(hn::SumOfLanes(d, sum)));
    for_vectors(s.cols, [&](std::int64_t c, auto valid) HWY_ATTR {
      hn::BlendedStore(hn::Mul(hn::LoadU(d, x + c), inverse), valid, d, x + c);
    });
  }
}

void MaxColumns(const float* x, std::int64_t stride, std::int64_t rows, std::int64_t cols,
                float* highest) {
  for_columns(cols, [&](auto d, std::int64_t c) HWY_ATTR {
    auto most = hn::LoadU(d, highest + c);
    for (std::int64_t r = 0; r < rows; ++r) most = hn::Max(most, hn::LoadU(d, x + r * stride + c));
    hn::StoreU(most, d, highest + c);
  });
}

void ExpColumns(const float* x, std::int64_t x_stride, const float* highest, std::int64_t rows,
                std::int64_t cols, float* y, std::int64_t y_stride, float* sums) {
  for_columns(cols, [&](auto d, std::int64_t c) HWY_ATTR {
    auto sum = hn::LoadU(d, sums + c);
    const auto most = hn::LoadU(d, highest + c);
    for (std::int64_t r = 0; r < rows; ++r) {
      const auto value = fast_exp(d, hn::Sub(hn::LoadU(d, x + r * x_stride + c), most));
      hn::StoreU(value, d, y + r * y_stride + c);
      sum = hn::Add(sum, value);
    }
    hn::StoreU(sum, d, sums + c);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace itemcrop::cpu::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace itemcrop::cpu::kernels {

HWY_EXPORT(Softmax);
HWY_EXPORT(MaxColumns);
HWY_EXPORT(ExpColumns);

void softmax_rows(const SoftmaxRows& args) { HWY_DYNAMIC_DISPATCH(Softmax)(args); }

void max_columns(const float* x, std::int64_t stride, std::int64_t rows, std::int64_t cols,
                 float* highest) {
  HWY_DYNAMIC_DISPATCH(MaxColumns)(x, stride, rows, cols, highest);
}

void exp_columns(const float* x, std::int64_t x_stride, const float* highest, std::int64_t rows,
                 std::int64_t cols, float* y, std::int64_t y_stride, float* sums) {
  HWY_DYNAMIC_DISPATCH(ExpColumns)(x, x_stride, highest, rows, cols, y, y_stride, sums);
}

}  // namespace itemcrop::cpu::kernels
#endif  // HWY_ONCE
