#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/small_products.h"

namespace itemcrop::cuda::kernels {
namespace {

constexpr int kRows = kSmallProductRows;
constexpr int kWarps = 4;
constexpr int kEach = kSmallProductOutputs / kWarps;  ///< outputs of a warp
constexpr int kThreads = kWarps * static_cast<int>(kWarp);
static_assert(kRows * kEach == static_cast<int>(kWarp), "a lane ends with one sum");

struct Four {
  float values[4];
};

/// Adds this lane's inputs, `N` at a time, to every sum of the warp's outputs and rows. Lanes side
/// by side read what lies side by side.
template <int N, class Load>
__device__ void accumulate(const SmallProduct& p, std::int32_t first_row, std::int32_t first_output,
                           int lane, const Load& load, float (&sums)[kEach * kRows]) {
#pragma unroll 1
  for (std::int32_t k = lane * N; k < p.inputs; k += N * static_cast<std::int32_t>(kWarp)) {
    Four weights[kEach];
#pragma unroll
    for (int o = 0; o < kEach; ++o) {
      const std::int64_t output = min(first_output + o, p.outputs - 1);
      weights[o] = load(p.weight + output * p.weight_stride + k);
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const std::int64_t row = min(first_row + r, p.rows - 1);
      const Four x = load(p.x + row * p.x_stride + k);
#pragma unroll
      for (int o = 0; o < kEach; ++o) {
#pragma unroll
        for (int i = 0; i < N; ++i) sums[o * kRows + r] += x.values[i] * weights[o].values[i];
      }
    }
  }
}

/// Sums each of 2 `Half` values over 2 `Half` neighbouring lanes; lane i of them ends with the sum
/// of values[i]. In each step lanes trade the halves that are not theirs.
template <int Half>
__device__ void sum_to_own(float (&values)[kEach * kRows], int lane) {
  const bool upper = (lane & Half) != 0;
#pragma unroll
  for (int i = 0; i < Half; ++i) {
    const float kept = upper ? values[i + Half] : values[i];
    const float given = upper ? values[i] : values[i + Half];
    values[i] = kept + __shfl_xor_sync(kAllLanes, given, Half);
  }
  if constexpr (Half > 1) sum_to_own<Half / 2>(values, lane);
}

__device__ bool rows_are_wide(const float* data, std::int64_t stride) {
  return reinterpret_cast<std::uintptr_t>(data) % sizeof(uint4) == 0 && stride % 4 == 0;
}

/// A warp computes 8 rows of 4 outputs, its lanes sharing the inputs: few rows are a matter of
/// latency, so all loads of a value are on their way at once.
/// Bytes: the weights once for every 8 rows. Operations: 2 a row, input and output.
__global__ void __launch_bounds__(kThreads)
    small_products_kernel(const SmallProduct* products, const SmallProductTile* tiles) {
  await_predecessor();
  const SmallProductTile tile = tiles[blockIdx.x];
  const SmallProduct p = products[tile.product];
  const auto lane = static_cast<int>(threadIdx.x % kWarp);
  const auto first_output =
      tile.first_output + static_cast<std::int32_t>(threadIdx.x / kWarp) * kEach;
  if (first_output >= p.outputs) return;

  float sums[kEach * kRows] = {};
  if (p.inputs % 4 == 0 && rows_are_wide(p.x, p.x_stride) &&
      rows_are_wide(p.weight, p.weight_stride)) {
    accumulate<4>(
        p, tile.first_row, first_output, lane,
        [](const float* from) {
          const uint4 packed = *reinterpret_cast<const uint4*>(from);
          Four four;
          memcpy(four.values, &packed, sizeof(packed));
          return four;
        },
        sums);
  } else {
    accumulate<1>(
        p, tile.first_row, first_output, lane,
        [](const float* from) {
          return Four{{*from, 0, 0, 0}};
        },
        sums);
  }
  sum_to_own<static_cast<int>(kWarp) / 2>(sums, lane);
  float sum = sums[0];
  const std::int32_t output = first_output + lane / kRows;
  const std::int32_t row = tile.first_row + lane % kRows;
  if (output >= p.outputs || row >= p.rows) return;
  if (p.bias != nullptr) sum += p.bias[output];
  if (p.relu != 0) sum = fmaxf(sum, 0.0F);
  p.y[row * p.y_stride + output] = sum;
}

}  // namespace

void launch_small_products(Stream stream, const SmallProductsParams& params) {
  if (params.tile_count == 0) return;
  launch("small_products", small_products_kernel, dim3{static_cast<unsigned>(params.tile_count)},
         dim3{kThreads}, 0, stream, params.products, params.tiles);
}

}  // namespace itemcrop::cuda::kernels
