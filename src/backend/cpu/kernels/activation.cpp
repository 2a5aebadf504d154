#include "backend/cpu/kernels/activation.h"

// foreach_target.h includes this file again for every target, and so comes first.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/kernels/activation.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "backend/cpu/kernels/columns-inl.h"
#include "backend/cpu/kernels/exp-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace itemcrop::cpu::kernels {
namespace HWY_NAMESPACE {

/// erf within 1.5e-7 (Abramowitz and Stegun, 7.1.26).
template <class D, class V>
HWY_INLINE V fast_erf(D d, V x) {
  const auto magnitude = hn::Abs(x);
  const auto t =
      hn::Div(hn::Set(d, 1.0F), hn::MulAdd(magnitude, hn::Set(d, 0.3275911F), hn::Set(d, 1.0F)));
  auto p = hn::Set(d, 1.061405429F);
  p = hn::MulAdd(p, t, hn::Set(d, -1.453152027F));
  p = hn::MulAdd(p, t, hn::Set(d, 1.421413741F));
  p = hn::MulAdd(p, t, hn::Set(d, -0.284496736F));
  p = hn::MulAdd(p, t, hn::Set(d, 0.254829592F));
  const auto gauss = fast_exp(d, hn::Neg(hn::Mul(x, x)));
  return hn::CopySign(hn::NegMulAdd(hn::Mul(p, t), gauss, hn::Set(d, 1.0F)), x);
}

template <class D, class V>
HWY_INLINE V activate(D d, V x, ops::Activation activation) {
  switch (activation) {
    case ops::Activation::kNone:
      return x;
    case ops::Activation::kRelu:
      return hn::Max(x, hn::Zero(d));
    case ops::Activation::kGelu: {
      const auto half = hn::Mul(x, hn::Set(d, 0.5F));
      return hn::MulAdd(half, fast_erf(d, hn::Mul(x, hn::Set(d, 0.70710678118654752F))), half);
    }
  }
  return x;
}

void AddBiasAndActivate(float* y, std::int64_t stride, std::int64_t rows, std::int64_t cols,
                        const float* bias, ops::Activation activation) {
  for (std::int64_t r = 0; r < rows; ++r) {
    float* row = y + r * stride;
    for_columns(cols, [&](auto d, std::int64_t c) HWY_ATTR {
      const auto value = hn::Add(hn::LoadU(d, row + c), hn::LoadU(d, bias + c));
      hn::StoreU(activate(d, value, activation), d, row + c);
    });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace itemcrop::cpu::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace itemcrop::cpu::kernels {

HWY_EXPORT(AddBiasAndActivate);

void add_bias_and_activate(float* y, std::int64_t stride, std::int64_t rows, std::int64_t cols,
                           const float* bias, ops::Activation activation) {
  HWY_DYNAMIC_DISPATCH(AddBiasAndActivate)(y, stride, rows, cols, bias, activation);
}

}  // namespace itemcrop::cpu::kernels
#endif  // HWY_ONCE
