// A row's columns by vectors. Included once for every target (Highway's foreach_target.h).

#if defined(ITEMCROP_KERNELS_COLUMNS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ITEMCROP_KERNELS_COLUMNS_INL_H_
#undef ITEMCROP_KERNELS_COLUMNS_INL_H_
#else
#define ITEMCROP_KERNELS_COLUMNS_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace itemcrop::cpu::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Full = hn::ScalableTag<float>;
using One = hn::CappedTag<float, 1>;

/// Calls body(tag, column) over whole vectors, then lane by lane.
template <class F>
HWY_INLINE void for_columns(std::int64_t cols, F&& body) {
  const Full d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t c = 0;
  for (; c + lanes <= cols; c += lanes) body(d, c);
  for (; c < cols; ++c) body(One(), c);
}

}  // namespace HWY_NAMESPACE
}  // namespace itemcrop::cpu::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard toggle
