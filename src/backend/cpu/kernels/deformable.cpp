#include "backend/cpu/kernels/deformable.h"

#include <algorithm>
#include <limits>
#include <type_traits>

// foreach_target.h includes this file again for every target, and so comes first.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/kernels/deformable.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "backend/cpu/kernels/exp-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace itemcrop::cpu::kernels {
namespace HWY_NAMESPACE {

using D = hn::ScalableTag<float>;
using DI = hn::RebindToSigned<D>;

/// The four corners of every sample of one head: an element offset into the value map and a weight
/// each, corner by corner, `padded` entries apart.
struct Corners {
  std::int32_t* offsets;
  float* weights;
  std::int64_t padded;
};

std::int64_t padded_samples(std::int64_t samples) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(D()));
  return (samples + lanes - 1) / lanes * lanes;
}

/// weights = softmax(scores), unnormalised; returns 1 / sum.
HWY_INLINE float softmax(const float* scores, std::int64_t samples, float* weights) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  const auto load = [&](std::int64_t i) HWY_ATTR {
    const auto valid = hn::FirstN(d, static_cast<std::size_t>(samples - i));
    return hn::IfThenElse(valid, hn::LoadU(d, scores + i), lowest);
  };
  auto highest = lowest;
  for (std::int64_t i = 0; i < samples; i += lanes) highest = hn::Max(highest, load(i));
  highest = hn::MaxOfLanes(d, highest);
  auto sum = hn::Zero(d);
  for (std::int64_t i = 0; i < samples; i += lanes) {
    const auto value = fast_exp(d, hn::Sub(load(i), highest));
    hn::StoreU(value, d, weights + i);
    sum = hn::Add(sum, value);
  }
  return 1.0F / hn::GetLane(hn::SumOfLanes(d, sum));
}

HWY_INLINE void place_corners(const SampleMap& map, const SampleReference& reference,
                              const float* offsets, const float* scores, const Corners& corners) {
  const D d;
  const DI di;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto one = hn::Set(d, 1.0F);
  const auto zero = hn::Zero(d);
  float* share = corners.weights + 3 * corners.padded;
  const auto inverse = hn::Set(d, softmax(scores, map.samples, share));
  for (std::int64_t i = 0; i < map.samples; i += lanes) {
    hn::Vec<D> dx, dy;
    hn::LoadInterleaved2(d, offsets + 2 * i, dx, dy);
    const auto width = hn::LoadU(d, map.width.data() + i);
    const auto height = hn::LoadU(d, map.height.data() + i);
    const auto half = hn::Set(d, 0.5F);
    auto x = hn::Mul(hn::Set(d, reference.x), width);
    auto y = hn::Mul(hn::Set(d, reference.y), height);
    if (reference.is_box) {
      x = hn::MulAdd(hn::Mul(dx, hn::Set(d, reference.reach_x)), width, x);
      y = hn::MulAdd(hn::Mul(dy, hn::Set(d, reference.reach_y)), height, y);
    } else {
      x = hn::Add(x, dx);
      y = hn::Add(y, dy);
    }
    // Clamped to just outside the map, where nothing counts, so that integers cannot overflow.
    const auto outside = hn::Set(d, -2.0F);
    x = hn::Min(hn::Max(hn::Sub(x, half), outside), hn::Add(width, one));
    y = hn::Min(hn::Max(hn::Sub(y, half), outside), hn::Add(height, one));
    const auto left = hn::Floor(x);
    const auto top = hn::Floor(y);
    const auto right = hn::Add(left, one);
    const auto bottom = hn::Add(top, one);
    const auto weight = hn::Mul(hn::LoadU(d, share + i), inverse);
    const auto within = [&](auto place, auto size, auto amount) HWY_ATTR {
      const auto inside = hn::And(hn::Ge(place, zero), hn::Lt(place, size));
      return hn::IfThenElseZero(inside, amount);
    };
    const auto on_left = within(left, width, hn::Sub(right, x));
    const auto on_right = within(right, width, hn::Sub(x, left));
    const auto on_top = hn::Mul(within(top, height, hn::Sub(bottom, y)), weight);
    const auto on_bottom = hn::Mul(within(bottom, height, hn::Sub(y, top)), weight);
    const auto clamp = [&](auto place, auto size)
                           HWY_ATTR { return hn::Min(hn::Max(place, zero), hn::Sub(size, one)); };
    const auto stride = hn::Set(di, static_cast<std::int32_t>(map.cell_stride));
    const auto columns = hn::ConvertTo(di, width);
    const auto first = hn::LoadU(di, map.first.data() + i);
    const auto put = [&](int corner, auto row, auto column, auto amount) HWY_ATTR {
      const auto cell = hn::Add(hn::Mul(hn::ConvertTo(di, clamp(row, height)), columns),
                                hn::ConvertTo(di, clamp(column, width)));
      hn::StoreU(hn::Mul(hn::Add(cell, first), stride), di,
                 corners.offsets + corner * corners.padded + i);
      hn::StoreU(amount, d, corners.weights + corner * corners.padded + i);
    };
    put(0, top, left, hn::Mul(on_top, on_left));
    put(1, top, right, hn::Mul(on_top, on_right));
    put(2, bottom, left, hn::Mul(on_bottom, on_left));
    put(3, bottom, right, hn::Mul(on_bottom, on_right));
  }
}

/// Two vectors of a cell's columns.
struct F32Cells {
  using Element = float;
  template <class Tag, class V>
  static HWY_INLINE void load(Tag d, const float* cell, V& first, V& second) {
    first = hn::LoadU(d, cell);
    second = hn::LoadU(d, cell + hn::Lanes(d));
  }
  template <class Tag, class V>
  static HWY_INLINE void store(Tag d, V first, V second, float* y) {
    hn::StoreU(first, d, y);
    hn::StoreU(second, d, y + hn::Lanes(d));
  }
};

/// Pairs of bf16 are taken as one 32-bit lane: even columns in `first`, odd ones in `second`.
struct Bf16Cells {
  using Element = std::uint16_t;
  template <class Tag, class V>
  static HWY_INLINE void load(Tag d, const std::uint16_t* cell, V& first, V& second) {
    const hn::RebindToUnsigned<Tag> du;
    const auto pairs = hn::LoadU(du, reinterpret_cast<const std::uint32_t*>(cell));
    first = hn::BitCast(d, hn::ShiftLeft<16>(pairs));
    second = hn::BitCast(d, hn::And(pairs, hn::Set(du, 0xFFFF0000U)));
  }
  template <class Tag, class V>
  static HWY_INLINE void store(Tag d, V first, V second, float* y) {
    hn::StoreInterleaved2(first, second, d, y);
  }
};

/// y = sum of weight * value over the samples' corners, two vectors of columns. Each corner has its
/// own sums, so that four chains of additions run side by side.
template <class Cells, class Tag>
HWY_INLINE void gather(Tag d, const typename Cells::Element* value, const Corners& corners,
                       std::int64_t samples, float* y) {
  hn::Vec<Tag> sums[4][2];
#pragma GCC unroll 4
  for (int corner = 0; corner < 4; ++corner) sums[corner][0] = sums[corner][1] = hn::Zero(d);
  for (std::int64_t i = 0; i < samples; ++i) {
#pragma GCC unroll 4
    for (int corner = 0; corner < 4; ++corner) {
      const std::int64_t at = corner * corners.padded + i;
      const auto weight = hn::Set(d, corners.weights[at]);
      hn::Vec<Tag> first, second;
      Cells::load(d, value + corners.offsets[at], first, second);
      sums[corner][0] = hn::MulAdd(weight, first, sums[corner][0]);
      sums[corner][1] = hn::MulAdd(weight, second, sums[corner][1]);
    }
  }
  const auto total = [&](int j) HWY_ATTR {
    return hn::Add(hn::Add(sums[0][j], sums[1][j]), hn::Add(sums[2][j], sums[3][j]));
  };
  Cells::store(d, total(0), total(1), y);
}

/// All columns of one head.
template <class Cells>
HWY_INLINE void gather_head(const typename Cells::Element* value, const Corners& corners,
                            const SampleMap& map, float* y) {
  const D d;
  const hn::CappedTag<float, 4> narrow;
  const auto step = static_cast<std::int64_t>(2 * hn::Lanes(d));
  const auto narrow_step = static_cast<std::int64_t>(2 * hn::Lanes(narrow));
  std::int64_t c = 0;
  for (; c + step <= map.head_dim; c += step) {
    gather<Cells>(d, value + c, corners, map.samples, y + c);
  }
  for (; c + narrow_step <= map.head_dim; c += narrow_step) {
    gather<Cells>(narrow, value + c, corners, map.samples, y + c);
  }
  if constexpr (std::is_same_v<Cells, F32Cells>) {
    for (; c < map.head_dim; ++c) {
      y[c] = 0;
      for (int corner = 0; corner < 4; ++corner) {
        for (std::int64_t i = 0; i < map.samples; ++i) {
          const std::int64_t at = corner * corners.padded + i;
          y[c] += corners.weights[at] * value[corners.offsets[at] + c];
        }
      }
    }
  }
}

/// Corners are placed for a few queries before any is gathered: a scalar read right after the
/// vector store that wrote it would wait for that store to reach the cache.
constexpr std::int64_t kQueryBlock = 8;

std::int64_t corner_floats(const SampleMap& map) { return 8 * padded_samples(map.samples); }

HWY_INLINE Corners corners_of(float* scratch, const SampleMap& map, std::int64_t query) {
  const std::int64_t padded = padded_samples(map.samples);
  float* block = scratch + query * corner_floats(map);
  return {reinterpret_cast<std::int32_t*>(block), block + 4 * padded, padded};
}

template <class Cells>
HWY_INLINE void sample_heads(const SampleMap& map, const SampleRows& queries, float* scratch) {
  const auto* value = static_cast<const typename Cells::Element*>(map.value);
  // Head by head: what neighbouring queries read of one head's columns fits in the L1 cache.
  for (std::int64_t head = 0; head < map.heads; ++head) {
    const std::int64_t offsets = 2 * head * map.samples;
    const std::int64_t scores = (2 * map.heads + head) * map.samples;
    for (std::int64_t first = 0; first < queries.rows; first += kQueryBlock) {
      const std::int64_t end = std::min(first + kQueryBlock, queries.rows);
      for (std::int64_t r = first; r < end; ++r) {
        const float* projection = queries.projection + r * queries.projection_stride;
        place_corners(map, queries.references[r], projection + offsets, projection + scores,
                      corners_of(scratch, map, r - first));
      }
      for (std::int64_t r = first; r < end; ++r) {
        gather_head<Cells>(value + head * map.head_stride, corners_of(scratch, map, r - first), map,
                           queries.y + r * queries.y_stride + head * map.head_dim);
      }
    }
  }
}

void SampleHeads(const SampleMap& map, const SampleRows& queries, float* scratch) {
  if (map.bf16) {
    sample_heads<Bf16Cells>(map, queries, scratch);
  } else {
    sample_heads<F32Cells>(map, queries, scratch);
  }
}

std::int64_t SampleScratch(const SampleMap& map) { return kQueryBlock * corner_floats(map); }

}  // namespace HWY_NAMESPACE
}  // namespace itemcrop::cpu::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace itemcrop::cpu::kernels {

HWY_EXPORT(SampleHeads);
HWY_EXPORT(SampleScratch);

std::int64_t sample_scratch(const SampleMap& map) {
  return HWY_DYNAMIC_DISPATCH(SampleScratch)(map);
}

void sample_rows(const SampleMap& map, const SampleRows& queries, float* scratch) {
  HWY_DYNAMIC_DISPATCH(SampleHeads)(map, queries, scratch);
}

}  // namespace itemcrop::cpu::kernels
#endif  // HWY_ONCE
