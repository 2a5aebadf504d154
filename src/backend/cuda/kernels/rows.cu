// Ops on rows that stand alone: memory-bound, a vector of 8 columns a thread.
#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/rows.h"

namespace itemcrop::cuda::kernels {
namespace {

constexpr int kThreads = 256;

/// The thread's place among vectors of 8 columns; false past the last. A block takes whole rows, or
/// a part of one, so that no index needs a division of 64 bits.
__device__ inline bool place(std::int64_t rows, int cols, std::int64_t& row, int& col) {
  const auto vectors = static_cast<unsigned>((cols + kVector - 1) / kVector);
  const unsigned across = vectors < kThreads ? vectors : kThreads;
  const unsigned down = kThreads / across;
  row = static_cast<std::int64_t>(blockIdx.x) * down + threadIdx.x / across;
  col = static_cast<int>(blockIdx.y * kThreads + threadIdx.x % across) * kVector;
  return threadIdx.x < across * down && row < rows && col < cols;
}

dim3 blocks_for(std::int64_t rows, std::int64_t cols) {
  const std::int64_t vectors = ceil_div(cols, kVector);
  const std::int64_t down = vectors < kThreads ? kThreads / vectors : 1;
  return dim3{static_cast<unsigned>(ceil_div(rows, down)),
              static_cast<unsigned>(ceil_div(vectors, kThreads)), 1};
}

const dim3 kBlock{kThreads, 1, 1};

/// Bytes: a, b, y.
__global__ void __launch_bounds__(kThreads)
    add_kernel(View a, View b, View y, const float* scale, std::int64_t rows) {
  await_predecessor();
  std::int64_t row;
  int col;
  if (!place(rows, y.cols, row, col)) return;
  float left[kVector];
  float right[kVector];
  load_vector(a, row, col, left);
  load_vector(b, row, col, right);
  if (scale != nullptr) {
    float factors[kVector];
    load_table(scale, col, y.cols, factors);
#pragma unroll
    for (int i = 0; i < kVector; ++i) right[i] *= factors[i];
  }
#pragma unroll
  for (int i = 0; i < kVector; ++i) left[i] += right[i];
  store_vector(y, row, col, left);
}

/// Bytes: x, residual, y. GELU: about 20 operations a value.
__global__ void __launch_bounds__(kThreads)
    epilogue_kernel(View x, const float* bias, ops::Activation activation, View residual, View y,
                    std::int64_t rows) {
  await_predecessor();
  std::int64_t row;
  int col;
  if (!place(rows, y.cols, row, col)) return;
  float values[kVector];
  load_vector(x, row, col, values);
  if (bias != nullptr) {
    float b[kVector];
    load_table(bias, col, y.cols, b);
#pragma unroll
    for (int i = 0; i < kVector; ++i) values[i] += b[i];
  }
  if (activation == ops::Activation::kRelu) {
#pragma unroll
    for (int i = 0; i < kVector; ++i) values[i] = values[i] > 0.0F ? values[i] : 0.0F;
  } else if (activation == ops::Activation::kGelu) {
    constexpr float kRootHalf = 0.70710678118654752F;
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
      values[i] *= 0.5F * (1.0F + erff(values[i] * kRootHalf));
    }
  }
  if (residual.data != nullptr) {
    float more[kVector];
    load_vector(residual, row, col, more);
#pragma unroll
    for (int i = 0; i < kVector; ++i) values[i] += more[i];
  }
  store_vector(y, row, col, values);
}

/// Bytes: x, y.
__global__ void __launch_bounds__(kThreads) copy_kernel(View x, View y, std::int64_t rows) {
  await_predecessor();
  std::int64_t row;
  int col;
  if (!place(rows, y.cols, row, col)) return;
  float values[kVector];
  load_vector(x, row, col, values);
  store_vector(y, row, col, values);
}

/// Bytes: y twice.
__global__ void __launch_bounds__(kThreads)
    gather_kernel(View x, const std::int32_t* indices, std::int64_t index_stride, View y,
                  std::int64_t rows) {
  await_predecessor();
  std::int64_t row;
  int col;
  if (!place(rows, y.cols, row, col)) return;
  float values[kVector];
  load_vector(x, indices[row * index_stride], col, values);
  store_vector(y, row, col, values);
}

/// One warp a row. Bytes: x.
__global__ void __launch_bounds__(kThreads)
    dot_rows_kernel(View x, const float* vector, View y, std::int64_t rows) {
  await_predecessor();
  const std::int64_t row =
      static_cast<std::int64_t>(blockIdx.x) * (kThreads / kWarp) + threadIdx.x / kWarp;
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  float sum = 0;
  for (int col = lane * kVector; row < rows && col < x.cols;
       col += kVector * static_cast<int>(kWarp)) {
    float values[kVector];
    float factors[kVector];
    load_vector(x, row, col, values);
    load_table(vector, col, x.cols, factors);
#pragma unroll
    for (int i = 0; i < kVector; ++i) sum += values[i] * factors[i];
  }
  sum = group_sum<32>(sum);
  if (row < rows && lane == 0) static_cast<float*>(y.data)[row * y.stride] = sum;
}

/// Bytes: y three times.
__global__ void __launch_bounds__(kThreads) embed_kernel(EmbedParams args, View y) {
  await_predecessor();
  std::int64_t row;
  int col;
  if (!place(args.y.rows, y.cols, row, col)) return;
  float sum[kVector];
  float more[kVector];
  load_table(args.words + static_cast<std::int64_t>(args.ids[row]) * y.cols, col, y.cols, sum);
  load_table(args.positions + static_cast<std::int64_t>(args.position_ids[row]) * y.cols, col,
             y.cols, more);
#pragma unroll
  for (int i = 0; i < kVector; ++i) sum[i] += more[i];
  load_table(args.types, col, y.cols, more);
#pragma unroll
  for (int i = 0; i < kVector; ++i) sum[i] += more[i];
  store_vector(y, row, col, sum);
}

struct UnfoldArgs {
  View x, y;
  const Grid* from;
  const Grid* to;
  const Tile* tiles;
};

/// Bytes: y, and x from the cache 9/4 times.
__global__ void __launch_bounds__(kThreads) unfold_kernel(UnfoldArgs args) {
  await_predecessor();
  const Tile tile = args.tiles[blockIdx.x];
  if (tile.rows == 0) return;
  const Grid from = args.from[tile.segment];
  const Grid to = args.to[tile.segment];
  const int channels = args.x.cols;
  const bool whole = channels % kVector == 0;
  const int vectors = (9 * channels + kVector - 1) / kVector;
  for (int i = static_cast<int>(threadIdx.x); i < tile.rows * vectors; i += kThreads) {
    const std::int64_t cell = tile.begin + i / vectors;
    const int col = i % vectors * kVector;
    const int top = static_cast<int>(cell / to.width) * 2 - 1;
    const int left = static_cast<int>(cell % to.width) * 2 - 1;
    const auto row_of = [&](int part) -> std::int64_t {
      const int y = top + part / 3;
      const int x = left + part % 3;
      if (y < 0 || x < 0 || y >= from.height || x >= from.width) return -1;
      return from.begin + static_cast<std::int64_t>(y) * from.width + x;
    };
    float values[kVector] = {};
    if (whole) {
      const int part = col / channels;
      const std::int64_t row = row_of(part);
      if (row >= 0) load_vector(args.x, row, col - part * channels, values);
    } else {
      for (int j = 0; j < kVector && col + j < 9 * channels; ++j) {
        const int part = (col + j) / channels;
        const std::int64_t row = row_of(part);
        if (row >= 0) values[j] = load_value(args.x, row, col + j - part * channels);
      }
    }
    store_vector(args.y, to.begin + cell, col, values);
  }
}

}  // namespace

void launch_add(Stream stream, const AddParams& params) {
  if (params.y.rows == 0) return;
  launch("add", add_kernel, blocks_for(params.y.rows, params.y.cols), kBlock, 0, stream,
         view_of(params.a), view_of(params.b), view_of(params.y), params.scale, params.y.rows);
}

void launch_epilogue(Stream stream, const EpilogueParams& params) {
  if (params.y.rows == 0) return;
  launch("epilogue", epilogue_kernel, blocks_for(params.y.rows, params.y.cols), kBlock, 0, stream,
         view_of(params.x), params.bias, params.activation, view_of(params.residual),
         view_of(params.y), params.y.rows);
}

void launch_copy(Stream stream, const CopyParams& params) {
  if (params.y.rows == 0) return;
  launch("copy", copy_kernel, blocks_for(params.y.rows, params.y.cols), kBlock, 0, stream,
         view_of(params.x), view_of(params.y), params.y.rows);
}

void launch_gather(Stream stream, const GatherParams& params) {
  if (params.y.rows == 0) return;
  launch("gather", gather_kernel, blocks_for(params.y.rows, params.y.cols), kBlock, 0, stream,
         view_of(params.x), static_cast<const std::int32_t*>(params.indices.data),
         params.indices.stride, view_of(params.y), params.y.rows);
}

void launch_dot_rows(Stream stream, const DotRowsParams& params) {
  if (params.x.rows == 0) return;
  const auto blocks = static_cast<unsigned>(ceil_div(params.x.rows, kThreads / kWarp));
  launch("dot_rows", dot_rows_kernel, dim3{blocks, 1, 1}, kBlock, 0, stream, view_of(params.x),
         params.vector, view_of(params.y), params.x.rows);
}

void launch_embed(Stream stream, const EmbedParams& params) {
  if (params.y.rows == 0) return;
  launch("embed", embed_kernel, blocks_for(params.y.rows, params.y.cols), kBlock, 0, stream, params,
         view_of(params.y));
}

void launch_unfold_3x3_stride2(Stream stream, const UnfoldParams& params) {
  if (params.tile_count == 0) return;
  launch("unfold_3x3_stride2", unfold_kernel, dim3{static_cast<unsigned>(params.tile_count), 1, 1},
         kBlock, 0, stream,
         UnfoldArgs{view_of(params.x), view_of(params.y), params.from, params.to, params.tiles});
}

#if defined(__CUDACC__)
bool early_launches_work() {
  int device = 0;
  int major = 0;
  cudaFuncAttributes code{};
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess) {
    error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  }
  if (error == cudaSuccess) error = cudaFuncGetAttributes(&code, copy_kernel);
  if (error != cudaSuccess) {
    cudaGetLastError();
    throw_launch_error(static_cast<int>(error), "early launches");
  }
  // Code that was translated from older PTX has no instruction to wait with.
  return major >= 9 && code.ptxVersion >= 90;
}
#endif

}  // namespace itemcrop::cuda::kernels
