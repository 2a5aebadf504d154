// Rounding to bf16 by vectors. Included once for every target (Highway's foreach_target.h).

#if defined(ITEMCROP_KERNELS_BF16_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ITEMCROP_KERNELS_BF16_INL_H_
#undef ITEMCROP_KERNELS_BF16_INL_H_
#else
#define ITEMCROP_KERNELS_BF16_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace itemcrop::cpu::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// The bits of values rounded to nearest, ties to even; the lower half is not cleared.
template <class D, class V>
HWY_INLINE auto rounded_bits(D /*d*/, V value) {
  const hn::RebindToUnsigned<D> du;
  const auto bits = hn::BitCast(du, value);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
  return hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7FFF)));
}

template <class D, class V>
HWY_INLINE V round_to_bf16(D d, V value) {
  const hn::RebindToUnsigned<D> du;
  return hn::BitCast(d, hn::And(rounded_bits(d, value), hn::Set(du, 0xFFFF0000U)));
}

/// Stores one bf16 a lane.
template <class D, class V>
HWY_INLINE void store_bf16(D d, V value, std::uint16_t* to) {
  const hn::RebindToSigned<D> di;
  const hn::Rebind<std::uint16_t, D> d16;
  const auto upper = hn::ShiftRight<16>(rounded_bits(d, value));
  hn::StoreU(hn::DemoteTo(d16, hn::BitCast(di, upper)), d16, to);
}

}  // namespace HWY_NAMESPACE
}  // namespace itemcrop::cpu::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard toggle
