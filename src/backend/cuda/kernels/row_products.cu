// Products with resident weights. A block keeps the weights of up to 256 outputs in shared memory;
// each of its groups of four warps takes 64 rows at a time, on its own, so that one group's rows
// travel while another multiplies or stores. What a group holds of a row lies in one quad of lanes,
// so a norm's sums are two shuffles.
#include <algorithm>
#include <vector>

#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/hopper.cuh"
#include "backend/cuda/kernels/row_products.h"

namespace itemcrop::cuda::kernels {
namespace {

constexpr int kMaxGroups = 3;
constexpr std::int64_t kRowsAtOnce = 64;
constexpr std::int64_t kInputStep = 64;
/// 227 KiB, less what aligning tiles and barriers takes.
constexpr std::int64_t kSharedBytes = (std::int64_t{227} << 10) - 1088;

std::int64_t resident_bytes(std::int64_t outputs, std::int64_t inputs) {
  return outputs * inputs * 2;
}

/// Groups of a block for which there is room.
int groups_of(std::int64_t outputs, std::int64_t inputs) {
  const std::int64_t room = kSharedBytes - resident_bytes(outputs, inputs);
  return static_cast<int>(std::min<std::int64_t>(kMaxGroups, room / (kRowsAtOnce * inputs * 2)));
}

/// Outputs of a block: fewer, if there are so few rows that much of a device would idle.
int outputs_of(const RowProductParams& params) {
  if (params.norm.weight != nullptr) return static_cast<int>(params.y.cols);
  const std::int64_t blocks = ceil_div(params.y.rows, kRowsAtOnce);
  const bool many = blocks * (params.y.cols / 128) >= params.multiprocessors;
  return params.y.cols % 128 == 0 && many && groups_of(128, params.x.cols) > 0 ? 128 : 64;
}

}  // namespace

std::int64_t row_product_blocks(const RowProductParams& params) {
  return ceil_div(params.y.rows, kRowsAtOnce) * (params.y.cols / outputs_of(params));
}

bool fits_row_product(const RowProductParams& params) {
  const Matrix& x = params.x;
  const Matrix& y = params.y;
  const bool norm = params.norm.weight != nullptr;
  const auto wide = [](const Matrix& m) { return view_of(m).wide; };
  const auto aligned = [](const float* table) {
    return reinterpret_cast<std::uintptr_t>(table) % 8 == 0;
  };
  if (x.dtype != DType::kF16 && x.dtype != DType::kBF16) return false;
  if (y.dtype != x.dtype && (norm || y.dtype != DType::kF32)) return false;
  if (params.activation == ops::Activation::kGelu) return false;
  const bool plain = params.activation == ops::Activation::kNone;
  // The residual comes after an activation, but sums begin with it.
  if (!plain && (norm || !params.residual.empty())) return false;
  if (norm ? y.cols != 64 && y.cols != 128 && y.cols != 256 : y.cols % 64 != 0) return false;
  if (x.cols == 0 || y.cols == 0 || x.cols % kInputStep != 0) return false;
  if (groups_of(norm ? y.cols : 64, x.cols) < 1) return false;
  if (!wide(x) || !wide(y)) return false;
  if (!params.residual.empty() && (params.residual.dtype != x.dtype || !wide(params.residual))) {
    return false;
  }
  return reinterpret_cast<std::uintptr_t>(params.weight) % 16 == 0 &&
         params.weight_stride % 8 == 0 && aligned(params.bias) && aligned(params.norm.weight) &&
         aligned(params.norm.bias);
}

#if defined(__CUDACC__)

namespace {

struct RowProductArgs {
  const float* bias;
  const void* residual;
  const float* norm_weight;
  const float* norm_bias;
  void* y;
  std::int64_t residual_stride, y_stride, rows;
  float epsilon;
  std::int32_t inputs;
  std::int32_t row_blocks;
  std::int32_t relu;
};

/// Whether this code has the instructions; which code runs is for the device to say.
__device__ int code_multiplies =
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    1;
#else
    0;
#endif

/// Bytes: x and y once, the residual once, weights once a block from the second-level cache.
/// Operations: 2 a row, input and output.
template <class T, class R, int Outputs, bool Norm>
__global__ void __launch_bounds__(kMaxGroups* kGroupThreads, 1)
    row_product_kernel(const __grid_constant__ CUtensorMap x_map,
                       const __grid_constant__ CUtensorMap weight_map, RowProductArgs args) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  constexpr int kSums = Outputs / 2;
  constexpr int kXTileBytes = kGroupRows * kTileRowBytes;
  constexpr int kWeightTileBytes = Outputs * kTileRowBytes;
  const auto thread = static_cast<int>(threadIdx.x);
  const int group = thread / kGroupThreads;
  const int groups = static_cast<int>(blockDim.x) / kGroupThreads;
  const bool leads = thread % kGroupThreads == 0;
  const int chunks = args.inputs / kTileCols;
  const int first_output = static_cast<int>(blockIdx.y) * Outputs;

  const std::uint32_t weights = (shared_address(dynamic_shared()) + 1023U) & ~1023U;
  const std::uint32_t own_rows = weights + chunks * (kWeightTileBytes + group * kXTileBytes);
  const std::uint32_t barriers = weights + chunks * (kWeightTileBytes + groups * kXTileBytes);
  const std::uint32_t weights_ready = barriers;
  const std::uint32_t rows_ready = barriers + 8 * (1 + group);
  if (thread == 0) {
    for (int i = 0; i <= groups; ++i) init_barrier(barriers + 8 * i, 1);
    publish_barriers();
  }
  __syncthreads();
  if (thread == 0) {
    // No kernel writes weights, so loading them need not wait for the predecessor.
    expect_bytes(weights_ready, chunks * kWeightTileBytes);
    for (int c = 0; c < chunks; ++c) {
      start_tile_copy(weights + c * kWeightTileBytes, &weight_map, c * kTileCols, first_output,
                      weights_ready);
    }
  }
  await_predecessor();

  const auto start_rows = [&](int block) {
    expect_bytes(rows_ready, chunks * kXTileBytes);
    for (int c = 0; c < chunks; ++c) {
      start_tile_copy(own_rows + c * kXTileBytes, &x_map, c * kTileCols, block * kGroupRows,
                      rows_ready);
    }
  };
  const int step = static_cast<int>(gridDim.x) * groups;
  int block = static_cast<int>(blockIdx.x + gridDim.x * group);
  if (leads && block < args.row_blocks) start_rows(block);

  const int lane = thread % static_cast<int>(kWarp);
  const int g = lane / 4;
  const int t = lane % 4;
  const int warp_row = thread % kGroupThreads / static_cast<int>(kWarp) * 16 + g;
  const auto* const residual = static_cast<const T*>(args.residual);
  std::uint32_t parity = 0;
  for (; block < args.row_blocks; block += step) {
    const std::int64_t row = static_cast<std::int64_t>(block) * kGroupRows + warp_row;
    float sums[kSums] = {};  // begin with what is added to them
    if (residual != nullptr) {
      add_rows(sums, residual, args.residual_stride, row, args.rows, first_output, t);
    }
    if (args.bias != nullptr) add_table(sums, args.bias, first_output, t);

    wait_barrier(weights_ready, 0);
    wait_barrier(rows_ready, parity);
    parity ^= 1;
    keep_sums(sums);
    int c = 0;
#pragma unroll 1
    do {  // at least once: sums that a loop may leave unwritten make the compiler await each
          // product
      const std::uint64_t a = tile_descriptor(own_rows + c * kXTileBytes);
      const std::uint64_t b = tile_descriptor(weights + c * kWeightTileBytes);
      begin_products();
#pragma unroll
      for (int k = 0; k < kTileCols / 16; ++k) {
        multiply_tiles(T{}, sums, a + k * kNextColumns, b + k * kNextColumns);
      }
      end_products();
    } while (++c < chunks);
    await_products<0>();
    keep_sums(sums);
    synchronise_group(1 + group);
    if (leads && block + step < args.row_blocks) start_rows(block + step);

    if constexpr (Norm) {
      normalise_sums(sums, args.norm_weight, args.norm_bias, args.epsilon, t);
    } else if (args.relu != 0) {
#pragma unroll
      for (int i = 0; i < kSums; ++i) sums[i] = fmaxf(sums[i], 0.0F);
    }
    store_rows(sums, static_cast<R*>(args.y), args.y_stride, row, args.rows, first_output, t);
  }
#endif
}

template <class T, class R, int Outputs, bool Norm>
void run(Stream stream, const RowProductParams& params) {
  const auto row_blocks = static_cast<int>(ceil_div(params.y.rows, kRowsAtOnce));
  const auto across = static_cast<unsigned>(params.y.cols / Outputs);
  const int blocks = std::min(params.multiprocessors, row_blocks);
  const int groups =
      std::min(groups_of(Outputs, params.x.cols), static_cast<int>(ceil_div(row_blocks, blocks)));
  const auto shared = static_cast<std::size_t>(resident_bytes(Outputs, params.x.cols) +
                                               groups * kRowsAtOnce * params.x.cols * 2 + 1088);
  launch("row_product", row_product_kernel<T, R, Outputs, Norm>,
         dim3{static_cast<unsigned>(blocks), across, 1},
         dim3{static_cast<unsigned>(groups * kGroupThreads), 1, 1}, shared, stream,
         map_of(params.x.data, params.x.dtype, params.x.rows, params.x.cols, params.x.stride,
                kGroupRows),
         map_of(params.weight, params.x.dtype, params.y.cols, params.x.cols, params.weight_stride,
                Outputs),
         RowProductArgs{params.bias, params.residual.data, params.norm.weight, params.norm.bias,
                        params.y.data, params.residual.stride, params.y.stride, params.y.rows,
                        params.norm.epsilon, static_cast<std::int32_t>(params.x.cols), row_blocks,
                        params.activation == ops::Activation::kRelu ? 1 : 0});
}

template <class T>
void run_type(Stream stream, const RowProductParams& params) {
  const int outputs = outputs_of(params);
  if (params.norm.weight != nullptr) {
    if (outputs == 64) return run<T, T, 64, true>(stream, params);
    if (outputs == 128) return run<T, T, 128, true>(stream, params);
    return run<T, T, 256, true>(stream, params);
  }
  if (params.y.dtype == DType::kF32) {
    if (outputs == 64) return run<T, float, 64, false>(stream, params);
    return run<T, float, 128, false>(stream, params);
  }
  if (outputs == 64) return run<T, T, 64, false>(stream, params);
  run<T, T, 128, false>(stream, params);
}

}  // namespace

bool row_products_work() {
  int device = 0;
  int major = 0;
  check(cudaGetDevice(&device), "row_product");
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "row_product");
  if (major != 9) return false;
  int multiplies = 0;
  check(cudaMemcpyFromSymbol(&multiplies, code_multiplies, sizeof(multiplies)), "row_product");
  return multiplies != 0 && encode_map() != nullptr;
}

void launch_row_product(Stream stream, const RowProductParams& params) {
  if (params.y.rows == 0) return;
  if (params.x.dtype == DType::kF16) return run_type<Half>(stream, params);
  run_type<BFloat16>(stream, params);
}

#else

namespace {

/// What the device computes, by loops: sums in fp32 that begin with what is added.
template <class T>
void run_type(const RowProductParams& params) {
  const View x = view_of(params.x);
  const View residual = view_of(params.residual);
  const View weight{const_cast<void*>(params.weight), params.weight_stride, x.cols, x.dtype};
  const auto cols = static_cast<int>(params.y.cols);
  std::vector<float> values(static_cast<std::size_t>(cols));
  for (std::int64_t row = 0; row < params.y.rows; ++row) {
    for (int c = 0; c < cols; ++c) {
      float sum = residual.data != nullptr ? load_value(residual, row, c) : 0.0F;
      if (params.bias != nullptr) sum += params.bias[c];
      for (int k = 0; k < x.cols; ++k) sum += load_value(x, row, k) * load_value(weight, c, k);
      if (params.activation == ops::Activation::kRelu) sum = std::max(sum, 0.0F);
      values[static_cast<std::size_t>(c)] = sum;
    }
    if (params.norm.weight != nullptr) normalise_row(values, params.norm);
    for (int c = 0; c < cols; ++c) {
      const float value = values[static_cast<std::size_t>(c)];
      if (params.y.dtype == DType::kF32) {
        params.y.row<float>(row)[c] = value;
      } else {
        params.y.row<T>(row)[c] = converted<T>(value);
      }
    }
  }
}

}  // namespace

bool row_products_work() { return true; }

void launch_row_product(Stream stream, const RowProductParams& params) {
  emulation::require_selected(stream, "row_product");
  if (!fits_row_product(params)) emulation::fault("row_product does not fit");
  if (params.x.dtype == DType::kF16) return run_type<Half>(params);
  run_type<BFloat16>(params);
}

#endif

}  // namespace itemcrop::cuda::kernels
