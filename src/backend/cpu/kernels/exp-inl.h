// exp() by vectors. Included once for every target (Highway's foreach_target.h).

#if defined(ITEMCROP_KERNELS_EXP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ITEMCROP_KERNELS_EXP_INL_H_
#undef ITEMCROP_KERNELS_EXP_INL_H_
#else
#define ITEMCROP_KERNELS_EXP_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace itemcrop::cpu::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// exp(x) for x <= 88, relative error below 2e-7; 0 below -87 (also at -infinity). By Cephes' expf:
/// x = n ln 2 + r with |r| <= ln 2 / 2, and a polynomial of r.
template <class D, class V>
HWY_INLINE V fast_exp(D d, V x) {
  const hn::RebindToSigned<D> di;
  const auto in_range = hn::Gt(x, hn::Set(d, -87.0F));
  const auto clamped = hn::Max(x, hn::Set(d, -87.0F));
  const auto n = hn::Round(hn::Mul(clamped, hn::Set(d, 1.44269504088896341F)));
  auto r = hn::NegMulAdd(n, hn::Set(d, 0.693359375F), clamped);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4F), r);
  auto p = hn::Set(d, 1.9875691500e-4F);
  p = hn::MulAdd(p, r, hn::Set(d, 1.3981999507e-3F));
  p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3F));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2F));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1F));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1F));
  p = hn::MulAdd(hn::Mul(r, r), p, hn::Add(r, hn::Set(d, 1.0F)));
  const auto power = hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(di, n), hn::Set(di, 127)));
  return hn::IfThenElseZero(in_range, hn::Mul(p, hn::BitCast(d, power)));
}

}  // namespace HWY_NAMESPACE
}  // namespace itemcrop::cpu::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard toggle
