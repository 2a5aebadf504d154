// Multi-scale deformable sampling (Deformable DETR, eq. 2): softmax, sampling points and bilinear
// sums of one head by one block. Neighbouring queries sample neighbouring cells, so a block takes
// a square of them and finds most of what it loads in the first-level cache.
#include "backend/cuda/kernels/deformable.h"
#include "backend/cuda/kernels/device.cuh"

namespace itemcrop::cuda::kernels {
namespace {

constexpr int kQueries = kDeformableTileEdge * kDeformableTileEdge;

/// How much of each of a sample's four cells counts: (top, left), (top, right), (bottom, left) ...
struct alignas(16) Shares {
  float corners[4];
};

/// A sample's top left cell within its level, and whether the others are a step to the right and a
/// step down (at the edges there is no step, and no share).
constexpr std::int32_t kStepRight = 1;
constexpr std::int32_t kStepDown = 2;
constexpr int kCellShift = 2;

/// Cells outside count nothing but the edge is loaded for them: no branch in the way of loads. A
/// comparison with NaN is false, and the clamps drop it.
__device__ inline std::int32_t corners_of(const Grid& level, float x, float y, float weight,
                                          Shares& shares) {
  const auto across = static_cast<float>(level.width);
  const auto down = static_cast<float>(level.height);
  const float left = floorf(x);
  const float top = floorf(y);
  const float w_left = left >= 0 && left < across ? 1 - (x - left) : 0.0F;
  const float w_right = left >= -1 && left + 1 < across ? x - left : 0.0F;
  const float w_top = top >= 0 && top < down ? weight * (1 - (y - top)) : 0.0F;
  const float w_bottom = top >= -1 && top + 1 < down ? weight * (y - top) : 0.0F;
  const float x0 = fminf(fmaxf(left, 0.0F), across - 1);
  const float x1 = fminf(fmaxf(left + 1, 0.0F), across - 1);
  const float y0 = fminf(fmaxf(top, 0.0F), down - 1);
  const float y1 = fminf(fmaxf(top + 1, 0.0F), down - 1);
  shares = {{w_top * w_left, w_top * w_right, w_bottom * w_left, w_bottom * w_right}};
  const std::int32_t cell =
      static_cast<std::int32_t>(y0) * level.width + static_cast<std::int32_t>(x0);
  return cell << kCellShift | (x1 > x0 ? kStepRight : 0) | (y1 > y0 ? kStepDown : 0);
}

struct DeformableArgs {
  View sampling, reference, value, y;
  const Grid* levels;
  const DeformableTile* tiles;
  int level_count;
  int heads;
  int points;
  int head_dim;
};

template <class T, bool Whole>
__device__ inline void load_channels(const T* from, int count, float (&to)[kVector]) {
  if (Whole) {
    load_packed(from, to);
  } else {
#pragma unroll
    for (int i = 0; i < kVector; ++i) to[i] = i < count ? to_float(from[i]) : 0.0F;
  }
}

/// total += the sum of four cells by their shares, the latter sum in T: its rounding is that of the
/// values themselves, and 16 instructions take the place of 48.
template <class T>
__device__ inline void add_packed(const T* const (&cells)[4], const Shares& shares,
                                  float (&total)[kVector]) {
  constexpr int kPairs = kVector / 2;
  std::uint32_t sums[kPairs] = {};
#pragma unroll
  for (int c = 0; c < 4; ++c) {
    const uint4 piece = *reinterpret_cast<const uint4*>(cells[c]);
    const std::uint32_t pairs[kPairs] = {piece.x, piece.y, piece.z, piece.w};
    const T share[2] = {converted<T>(shares.corners[c]), converted<T>(shares.corners[c])};
    std::uint32_t factor;
    memcpy(&factor, share, sizeof(factor));
#pragma unroll
    for (int i = 0; i < kPairs; ++i) sums[i] = multiply_add<T>(pairs[i], factor, sums[i]);
  }
  T values[kVector];
  memcpy(values, sums, sizeof(values));
#pragma unroll
  for (int i = 0; i < kVector; ++i) total[i] += to_float(values[i]);
}

/// `Lanes` lanes a query, 8 channels each at a time; `Whole`: channels come in aligned eights.
/// `Packed`: the four cells of a sample are added in T, samples in fp32 as always.
/// Bytes a query and head: 12 a sample, 4 cells of head_dim a sample from caches, head_dim out.
/// Operations: 8 a sample and channel.
template <class T, int Lanes, bool Whole, bool Packed, int Heads>
__global__ void __launch_bounds__(kQueries* Lanes* Heads) deformable_kernel(DeformableArgs args) {
  const DeformableTile tile = args.tiles[blockIdx.x];
  if (tile.width == 0) return;
  // Heads alternate, so that the eight places that a warp loads from at once differ in the half of
  // a cache line that they want.
  const int unit = static_cast<int>(threadIdx.x) / Lanes;
  const int head = static_cast<int>(blockIdx.y) * Heads + unit % Heads;
  const int q = unit / Heads;
  const int lane = static_cast<int>(threadIdx.x) % Lanes;
  const Grid* levels = args.levels + static_cast<std::int64_t>(tile.sample) * args.level_count;

  // The query of this thread and its reference: the centre of its cell, or a box.
  bool active;
  std::int64_t row;
  float centre_x = 0;
  float centre_y = 0;
  float width = 0;
  float height = 0;
  if (tile.level < 0) {
    active = q < tile.width;
    row = tile.begin + q;
  } else {
    const int cell_x = tile.x + q % kDeformableTileEdge;
    const int cell_y = tile.y + q / kDeformableTileEdge;
    const Grid level = levels[tile.level];
    active = q % kDeformableTileEdge < tile.width && q / kDeformableTileEdge < tile.height;
    row = tile.begin + static_cast<std::int64_t>(cell_y) * level.width + cell_x;
    centre_x = (static_cast<float>(cell_x) + 0.5F) / static_cast<float>(level.width);
    centre_y = (static_cast<float>(cell_y) + 0.5F) / static_cast<float>(level.height);
  }
  active = active && head < args.heads;
  const bool boxes = args.reference.data != nullptr;
  if (boxes && active) {
    const float* box = static_cast<const float*>(args.reference.data) + row * args.reference.stride;
    centre_x = box[0];
    centre_y = box[1];
    width = box[2];
    height = box[3];
  }

  // Sampling points: each lane makes a share of its query's, all of them use all.
  const int samples = args.level_count * args.points;
  auto* const all_shares = reinterpret_cast<Shares*>(dynamic_shared());
  Shares* const shares = all_shares + unit * samples;
  auto* const cells =
      reinterpret_cast<std::int32_t*>(all_shares + kQueries * Heads * samples) + unit * samples;
  const float* offsets =
      static_cast<const float*>(args.sampling.data) + (active ? row : 0) * args.sampling.stride;
  const float* weights = offsets + 2 * args.heads * samples + head * samples;
  offsets += 2 * head * samples;
  float highest = -INFINITY;
  float sum = 0;
  if (active) {
    for (int s = lane; s < samples; s += Lanes) highest = fmaxf(highest, weights[s]);
  }
  highest = group_max<Lanes>(highest);
  if (active) {
    for (int s = lane; s < samples; s += Lanes) sum += __expf(weights[s] - highest);
  }
  const float scale = 1.0F / group_sum<Lanes>(sum);
  if (active) {
    for (int s = lane; s < samples; s += Lanes) {
      const Grid level = levels[s / args.points];
      const auto across = static_cast<float>(level.width);
      const auto down = static_cast<float>(level.height);
      float x = offsets[2 * s];
      float y = offsets[2 * s + 1];
      if (boxes) {
        const auto points = static_cast<float>(args.points);
        x = centre_x + x / points * width * 0.5F;
        y = centre_y + y / points * height * 0.5F;
      } else {
        x = centre_x + x / across;
        y = centre_y + y / down;
      }
      cells[s] = corners_of(level, x * across - 0.5F, y * down - 0.5F,
                            __expf(weights[s] - highest) * scale, shares[s]);
    }
  }
  __syncwarp();
  if (!active) return;

  for (int first = lane * kVector; first < args.head_dim; first += Lanes * kVector) {
    const int channels = args.head_dim - first;
    const T* column = static_cast<const T*>(args.value.data) + head * args.head_dim + first;
    const auto stride = static_cast<std::int32_t>(args.value.stride);
    float total[kVector] = {};
    for (int l = 0, s = 0; l < args.level_count; ++l) {
      const Grid level = levels[l];
      const T* map = column + level.begin * args.value.stride;
      const std::int32_t row_stride = stride * level.width;
#pragma unroll 2
      for (int p = 0; p < args.points; ++p, ++s) {
        const Shares share = shares[s];
        const std::int32_t cell = cells[s];
        const T* top = map + (cell >> kCellShift) * stride;
        const T* bottom = (cell & kStepDown) != 0 ? top + row_stride : top;
        const std::int32_t right = (cell & kStepRight) != 0 ? stride : 0;
        const T* const corners[4] = {top, top + right, bottom, bottom + right};
        if constexpr (Packed) {
          add_packed(corners, share, total);
        } else {
          float values[4][kVector];
#pragma unroll
          for (int c = 0; c < 4; ++c) load_channels<T, Whole>(corners[c], channels, values[c]);
#pragma unroll
          for (int c = 0; c < 4; ++c) {
#pragma unroll
            for (int i = 0; i < kVector; ++i) total[i] += share.corners[c] * values[c][i];
          }
        }
      }
    }
    T* to = static_cast<T*>(args.y.data) + row * args.y.stride + head * args.head_dim + first;
    if (Whole) {
      store_packed(total, to);
    } else {
#pragma unroll
      for (int i = 0; i < kVector; ++i) {
        if (i < channels) from_float(total[i], to[i]);
      }
    }
  }
}

}  // namespace

void launch_deformable(Stream stream, const DeformableParams& params) {
  if (params.tile_count == 0) return;
  DeformableArgs args{view_of(params.sampling),
                      view_of(params.reference),
                      view_of(params.value),
                      view_of(params.y),
                      params.levels,
                      params.tiles,
                      params.level_count,
                      params.heads,
                      params.points,
                      static_cast<int>(params.value.cols / params.heads)};
  const bool whole = args.value.wide && args.y.wide && args.head_dim % kVector == 0;
  const auto samples = static_cast<std::size_t>(params.level_count * params.points);
  const std::size_t shared = (sizeof(Shares) + sizeof(std::int32_t)) * kQueries * samples;
  const auto run = [&](auto kernel, unsigned lanes, unsigned heads) {
    const auto groups = static_cast<unsigned>(ceil_div(args.heads, heads));
    launch("deformable", kernel, dim3{static_cast<unsigned>(params.tile_count), groups, 1},
           dim3{kQueries * lanes * heads, 1, 1}, shared * heads, stream, args);
  };
  dispatch_float(params.value.dtype, [&](auto tag) {
    using T = decltype(tag);
    const auto run_whole = [&](auto packed) {
      constexpr bool kPacked = decltype(packed)::value;
      if (args.head_dim <= 8) return run(deformable_kernel<T, 1, true, kPacked, 1>, 1, 1);
      if (args.head_dim <= 16) return run(deformable_kernel<T, 2, true, kPacked, 1>, 2, 1);
      if (args.head_dim > 32) return run(deformable_kernel<T, 8, true, kPacked, 1>, 8, 1);
      if (params.two_heads) return run(deformable_kernel<T, 4, true, kPacked, 2>, 4, 2);
      run(deformable_kernel<T, 4, true, kPacked, 1>, 4, 1);
    };
    if (!whole) return run(deformable_kernel<T, 4, false, false, 1>, 4, 1);
    if constexpr (sizeof(T) == 2) {
      if (params.packed) return run_whole(std::true_type());
    }
    run_whole(std::false_type());
  });
}

}  // namespace itemcrop::cuda::kernels
