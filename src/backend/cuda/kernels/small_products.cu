#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/small_products.h"

namespace itemcrop::cuda::kernels {
namespace {

/// Warps of a block; each sums a quarter of the inputs, so that few rows still fill the device.
constexpr int kParts = 4;
constexpr int kRows = kSmallProductRows;
constexpr int kOutputs = kSmallProductOutputs;
static_assert(kOutputs == static_cast<int>(kWarp));

struct alignas(16) Four {
  float values[4];
};

/// A lane owns an output and adds inputs [begin, end) of every row. All lanes read the same x.
template <bool wide>
__device__ void accumulate(const SmallProduct& p, std::int32_t first_row, std::int32_t output,
                           std::int32_t begin, std::int32_t end, float (&sums)[kRows]) {
  const float* weight = p.weight + output * p.weight_stride;
  if (wide) {
#pragma unroll 4
    for (std::int32_t k = begin; k < end; k += 4) {
      const Four w = *reinterpret_cast<const Four*>(weight + k);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const std::int64_t row = min(first_row + r, p.rows - 1);
        const Four x = *reinterpret_cast<const Four*>(p.x + row * p.x_stride + k);
#pragma unroll
        for (int i = 0; i < 4; ++i) sums[r] += x.values[i] * w.values[i];
      }
    }
  } else {
    for (std::int32_t k = begin; k < end; ++k) {
      const float w = weight[k];
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const std::int64_t row = min(first_row + r, p.rows - 1);
        sums[r] += p.x[row * p.x_stride + k] * w;
      }
    }
  }
}

__device__ bool rows_are_wide(const float* data, std::int64_t stride) {
  return reinterpret_cast<std::uintptr_t>(data) % sizeof(Four) == 0 && stride % 4 == 0;
}

__global__ void __launch_bounds__(kParts* kOutputs)
    small_products_kernel(const SmallProduct* products, const SmallProductTile* tiles) {
  __shared__ float parts[kParts][kRows][kOutputs];
  const SmallProductTile tile = tiles[blockIdx.x];
  const SmallProduct p = products[tile.product];
  const auto lane = static_cast<std::int32_t>(threadIdx.x % kWarp);
  const auto part = static_cast<std::int32_t>(threadIdx.x / kWarp);
  const std::int32_t output = min(tile.first_output + lane, p.outputs - 1);

  float sums[kRows] = {};
  const std::int32_t share = (p.inputs + 4 * kParts - 1) / (4 * kParts) * 4;
  const std::int32_t begin = part * share;
  const std::int32_t end = min(begin + share, p.inputs);
  if (p.inputs % 4 == 0 && rows_are_wide(p.x, p.x_stride) &&
      rows_are_wide(p.weight, p.weight_stride)) {
    accumulate<true>(p, tile.first_row, output, begin, end, sums);
  } else {
    accumulate<false>(p, tile.first_row, output, begin, end, sums);
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) parts[part][r][lane] = sums[r];
  __syncthreads();

  if (tile.first_output + lane >= p.outputs) return;
  const float bias = p.bias != nullptr ? p.bias[output] : 0.0F;
  for (std::int32_t r = part; r < kRows && tile.first_row + r < p.rows; r += kParts) {
    float sum = bias;
#pragma unroll
    for (int i = 0; i < kParts; ++i) sum += parts[i][r][lane];
    if (p.relu != 0) sum = fmaxf(sum, 0.0F);
    p.y[(tile.first_row + r) * p.y_stride + output] = sum;
  }
}

}  // namespace

void launch_small_products(Stream stream, const SmallProductsParams& params) {
  if (params.tile_count == 0) return;
  launch("small_products", small_products_kernel, dim3{static_cast<unsigned>(params.tile_count)},
         dim3{kParts * kOutputs}, 0, stream, params.products, params.tiles);
}

}  // namespace itemcrop::cuda::kernels
