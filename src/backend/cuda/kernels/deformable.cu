// Multi-scale deformable sampling (Deformable DETR, eq. 2): softmax, sampling points and bilinear
// sums of one head by one block. Neighbouring queries sample neighbouring cells, so a block takes
// a square of them and finds most of what it loads in the first-level cache.
#include "backend/cuda/kernels/deformable.h"
#include "backend/cuda/kernels/device.cuh"

namespace itemcrop::cuda::kernels {
namespace {

constexpr int kQueries = kDeformableTileEdge * kDeformableTileEdge;

/// A sample of a map of T: how much each of its four cells counts, in the order (top, left),
/// (top, right), (bottom, left), (bottom, right), and where the two on the left lie in its level.
/// The right ones are their neighbours. With 16-bit values it is one load of 16 bytes.
template <class T>
struct alignas(8) Sample {
  std::conditional_t<sizeof(T) == 2, Half, float> shares[4];
  std::int32_t top;
  std::int32_t bottom;
};

/// The first of two neighbouring cells of `count` that hold all of x, and what each counts: its
/// distance from 1, or nothing. That holds outside the map too, where NaN counts as outside.
__device__ inline float neighbours(float x, float count, float (&shares)[2]) {
  const float first = fminf(fmaxf(floorf(x), 0.0F), fmaxf(count - 2, 0.0F));
  const float distance = x - first;
  shares[0] = fmaxf(1 - fabsf(distance), 0.0F);
  shares[1] = count > 1 ? fmaxf(1 - fabsf(distance - 1), 0.0F) : 0.0F;
  return first;
}

struct DeformableArgs {
  View sampling, axes, reference, value, y;
  const Grid* levels;
  const DeformableTile* tiles;
  int level_count;
  int heads;
  int points;
  int head_dim;
  std::int64_t first_row;
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

/// Samples that a lane takes at a time: their weights are one load, their offsets two.
constexpr int kRun = 4;

/// A query's row of the sampling matrix and, if it is a cell, what its row's and its column's
/// positions add to it.
struct Projection {
  const float* query = nullptr;
  const float* row = nullptr;
  const float* column = nullptr;
};

/// Infinitely little weight in places past `count`.
template <int Count>
__device__ inline void load_run(const float* from, bool wide, int count, float (&to)[Count]) {
  if (wide && count >= Count) {
#pragma unroll
    for (int i = 0; i < Count; i += 4) {
      const float4 four = *reinterpret_cast<const float4*>(from + i);
      to[i] = four.x;
      to[i + 1] = four.y;
      to[i + 2] = four.z;
      to[i + 3] = four.w;
    }
  } else {
#pragma unroll
    for (int i = 0; i < Count; ++i) to[i] = i < count ? from[i] : -INFINITY;
  }
}

template <int Count>
__device__ inline void load_run(const Projection& from, int col, bool wide, int count,
                                float (&to)[Count]) {
  load_run(from.query + col, wide, count, to);
  if (from.row == nullptr) return;
  float row[Count];
  float column[Count];
  load_run(from.row + col, wide, count, row);
  load_run(from.column + col, wide, count, column);
#pragma unroll
  for (int i = 0; i < Count; ++i) to[i] += row[i] + column[i];
}

/// `Lanes` lanes a query, 8 channels each at a time; `Whole`: channels come in aligned eights.
/// Bytes a query and head: 12 a sample (and, of cells, as many twice from caches), 4 cells of
/// head_dim a sample from caches, head_dim out. Operations: 8 a sample and channel. What bounds it
/// is the first-level cache: a warp's load wants eight lines (of eight queries), one a cycle, so
/// nothing else may go through that pipe needlessly.
template <class T, int Lanes, bool Whole>
__global__ void __launch_bounds__(kQueries* Lanes) deformable_kernel(DeformableArgs args) {
  await_predecessor();
  const DeformableTile tile = args.tiles[blockIdx.x];
  if (tile.width == 0) return;
  const auto head = static_cast<int>(blockIdx.y);
  const int q = static_cast<int>(threadIdx.x) / Lanes;
  const int lane = static_cast<int>(threadIdx.x) % Lanes;
  const Grid* levels = args.levels + static_cast<std::int64_t>(tile.sample) * args.level_count;

  // The query of this thread and its reference: the centre of its cell, or a box.
  bool active;
  std::int64_t row;
  Projection projection;
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
    const auto* axes =
        static_cast<const float*>(args.axes.data) + tile.axis_begin * args.axes.stride;
    projection.row = axes + (active ? cell_y : 0) * args.axes.stride;
    projection.column = axes + (active ? level.height + cell_x : 0) * args.axes.stride;
  }
  const bool boxes = args.reference.data != nullptr;
  if (boxes && active) {
    const float* box = static_cast<const float*>(args.reference.data) + row * args.reference.stride;
    centre_x = box[0];
    centre_y = box[1];
    width = box[2];
    height = box[3];
  }

  // Sampling points: each lane makes a share of its query's, all of them use all. A place more than
  // there are samples keeps a warp's queries in different banks.
  const int samples = args.level_count * args.points;
  auto* const own = reinterpret_cast<Sample<T>*>(dynamic_shared()) + q * (samples + 1);
  projection.query = static_cast<const float*>(args.sampling.data) +
                     (active ? row - args.first_row : 0) * args.sampling.stride;
  const int offsets = 2 * head * samples;
  const int weights = (2 * args.heads + head) * samples;
  const bool wide = args.sampling.wide && args.axes.wide && samples % kRun == 0;
  const int mine = active ? samples : 0;
  constexpr int kStep = Lanes * kRun;
  const bool several = samples > kStep;  // runs a lane: an only one stays in its registers
  float highest = -INFINITY;
  float sum = 0;
  float weight[kRun];
  for (int first = lane * kRun; first < mine; first += kStep) {
    load_run(projection, weights + first, wide, samples - first, weight);
#pragma unroll
    for (int i = 0; i < kRun; ++i) highest = fmaxf(highest, weight[i]);
  }
  highest = group_max<Lanes>(highest);
  for (int first = lane * kRun; first < mine; first += kStep) {
    if (several) load_run(projection, weights + first, wide, samples - first, weight);
#pragma unroll
    for (int i = 0; i < kRun; ++i) sum += __expf(weight[i] - highest);
  }
  const float scale = 1.0F / group_sum<Lanes>(sum);
  // An offset is in cells, or in shares of half a box.
  const float box_step_x = width * 0.5F / static_cast<float>(args.points);
  const float box_step_y = height * 0.5F / static_cast<float>(args.points);
  for (int first = lane * kRun; first < mine; first += kStep) {
    float offset[2 * kRun];
    if (several) load_run(projection, weights + first, wide, samples - first, weight);
    load_run(projection, offsets + 2 * first, wide, 2 * (samples - first), offset);
    const Grid* place = levels + first / args.points;
    Grid level = *place;
    int in_level = first % args.points;
#pragma unroll
    for (int i = 0; i < kRun; ++i, ++in_level) {
      const int s = first + i;
      if (s >= samples) break;
      if (in_level == args.points) {
        in_level = 0;
        level = *++place;
      }
      const auto across = static_cast<float>(level.width);
      const auto down = static_cast<float>(level.height);
      const float step_x = boxes ? box_step_x * across : 1.0F;
      const float step_y = boxes ? box_step_y * down : 1.0F;
      float shares_x[2];
      float shares_y[2];
      const float left =
          neighbours(centre_x * across - 0.5F + offset[2 * i] * step_x, across, shares_x);
      const float top =
          neighbours(centre_y * down - 0.5F + offset[2 * i + 1] * step_y, down, shares_y);
      const float share = __expf(weight[i] - highest) * scale;
      Sample<T> sample;
#pragma unroll
      for (int c = 0; c < 4; ++c)
        from_float(share * shares_y[c / 2] * shares_x[c % 2], sample.shares[c]);
      const auto stride = static_cast<std::int32_t>(args.value.stride);
      sample.top =
          (static_cast<std::int32_t>(top) * level.width + static_cast<std::int32_t>(left)) * stride;
      sample.bottom = sample.top + (level.height > 1 ? level.width * stride : 0);
      own[s] = sample;
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
      const std::int32_t right = level.width > 1 ? stride : 0;
#pragma unroll 2
      for (int p = 0; p < args.points; ++p, ++s) {
        const Sample<T> sample = own[s];
        const T* const top = map + sample.top;
        const T* const bottom = map + sample.bottom;
        const T* const cells[4] = {top, top + right, bottom, bottom + right};
        float values[4][kVector];
#pragma unroll
        for (int c = 0; c < 4; ++c) load_channels<T, Whole>(cells[c], channels, values[c]);
#pragma unroll
        for (int c = 0; c < 4; ++c) {
          const float share = to_float(sample.shares[c]);
#pragma unroll
          for (int i = 0; i < kVector; ++i) total[i] += share * values[c][i];
        }
      }
    }
    T* to = static_cast<T*>(args.y.data) + (row - args.first_row) * args.y.stride +
            head * args.head_dim + first;
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
                      view_of(params.axes),
                      view_of(params.reference),
                      view_of(params.value),
                      view_of(params.y),
                      params.levels,
                      params.tiles,
                      params.level_count,
                      params.heads,
                      params.points,
                      static_cast<int>(params.value.cols / params.heads),
                      params.first_row};
  const bool whole = args.value.wide && args.y.wide && args.head_dim % kVector == 0;
  const auto samples = static_cast<std::size_t>(params.level_count * params.points);
  dispatch_float(params.value.dtype, [&](auto tag) {
    using T = decltype(tag);
    const std::size_t shared = sizeof(Sample<T>) * kQueries * (samples + 1);
    const auto run = [&](auto kernel, unsigned lanes) {
      launch("deformable", kernel,
             dim3{static_cast<unsigned>(params.tile_count), static_cast<unsigned>(args.heads), 1},
             dim3{kQueries * lanes, 1, 1}, shared, stream, args);
    };
    if (!whole) return run(deformable_kernel<T, 4, false>, 4);
    if (args.head_dim <= 8) return run(deformable_kernel<T, 1, true>, 1);
    if (args.head_dim <= 16) return run(deformable_kernel<T, 2, true>, 2);
    if (args.head_dim <= 32) return run(deformable_kernel<T, 4, true>, 4);
    run(deformable_kernel<T, 8, true>, 8);
  });
}

}  // namespace itemcrop::cuda::kernels
