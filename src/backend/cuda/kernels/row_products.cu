// Products with resident weights. A block keeps the weights of up to 256 outputs in shared memory;
// each of its groups of four warps takes 64 rows at a time, on its own, so that one group's rows
// travel while another multiplies or stores. What a group holds of a row lies in one quad of lanes,
// so a norm's sums are two shuffles.
#include "backend/cuda/kernels/row_products.h"

#include <algorithm>
#include <vector>

#include "backend/cuda/kernels/device.cuh"
#if defined(__CUDACC__)
#include "backend/cuda/kernels/hopper.cuh"
#endif

namespace itemcrop::cuda::kernels {
namespace {

constexpr int kMostGroups = 3;
constexpr std::int64_t kRowsAtOnce = 64;
constexpr std::int64_t kInputStep = 64;
/// 227 KiB, less what aligning tiles and barriers takes.
constexpr std::int64_t kSharedBytes = (std::int64_t{227} << 10) - 1088;
/// Fewer blocks than this leave much of a device idle: then a block takes fewer outputs.
constexpr std::int64_t kManyBlocks = 128;

std::int64_t resident_bytes(std::int64_t outputs, std::int64_t inputs) {
  return outputs * inputs * 2;
}

/// Groups of a block for which there is room.
int groups_of(std::int64_t outputs, std::int64_t inputs) {
  const std::int64_t room = kSharedBytes - resident_bytes(outputs, inputs);
  return static_cast<int>(std::min<std::int64_t>(kMostGroups, room / (kRowsAtOnce * inputs * 2)));
}

/// Outputs of a block.
int outputs_of(const RowProductParams& params) {
  if (params.norm.weight != nullptr) return static_cast<int>(params.y.cols);
  const std::int64_t blocks = ceil_div(params.y.rows, kRowsAtOnce);
  const bool many = blocks * (params.y.cols / 128) >= kManyBlocks;
  return params.y.cols % 128 == 0 && many && groups_of(128, params.x.cols) > 0 ? 128 : 64;
}

}  // namespace

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
  if (norm && params.activation != ops::Activation::kNone) return false;
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

__device__ inline float2 table_pair(const float* table, int col) {
  return __ldg(reinterpret_cast<const float2*>(table + col));
}

/// Word i of lane t becomes word t of lane i, in every quad: 16 bytes of a row in memory are then
/// what four products hold, and the other way round.
__device__ inline void transpose_quad(std::uint32_t (&words)[4], int t) {
  const auto trade = [&](std::uint32_t& low, std::uint32_t& high, int lanes) {
    const bool upper = (t & lanes) != 0;
    const std::uint32_t got = __shfl_xor_sync(kAllLanes, upper ? low : high, lanes);
    (upper ? low : high) = got;
  };
  trade(words[0], words[1], 1);
  trade(words[2], words[3], 1);
  trade(words[0], words[2], 2);
  trade(words[1], words[3], 2);
}

template <class T>
__device__ inline float2 unpack_pair(std::uint32_t packed) {
  T values[2];
  memcpy(values, &packed, sizeof(packed));
  return {to_float(values[0]), to_float(values[1])};
}

/// Bytes: x and y once, the residual once, weights once a block from the second-level cache.
/// Operations: 2 a row, input and output.
template <class T, class R, int Outputs, bool Norm>
__global__ void __launch_bounds__(kMostGroups* kGroupThreads, 1)
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
    // Weights are nobody's answer, so they need not wait for a predecessor.
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
    float sums[kSums];
    // The sums begin with what is added to them.
#pragma unroll
    for (int i = 0; i < kSums; ++i) sums[i] = 0;
    if (residual != nullptr) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
#pragma unroll
        for (int j = 0; j < Outputs / 32; ++j) {
          uint4 packed{0, 0, 0, 0};
          if (row + 8 * r < args.rows) {
            packed = *reinterpret_cast<const uint4*>(
                residual + (row + 8 * r) * args.residual_stride + first_output + 32 * j + 8 * t);
          }
          std::uint32_t words[4] = {packed.x, packed.y, packed.z, packed.w};
          transpose_quad(words, t);
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            const float2 pair = unpack_pair<T>(words[i]);
            sums[4 * (4 * j + i) + 2 * r] = pair.x;
            sums[4 * (4 * j + i) + 2 * r + 1] = pair.y;
          }
        }
      }
    }
    if (args.bias != nullptr) {
#pragma unroll
      for (int n = 0; n < Outputs / 8; ++n) {
        const float2 pair = table_pair(args.bias, first_output + 8 * n + 2 * t);
        sums[4 * n] += pair.x;
        sums[4 * n + 1] += pair.y;
        sums[4 * n + 2] += pair.x;
        sums[4 * n + 3] += pair.y;
      }
    }

    wait_barrier(weights_ready, 0);
    wait_barrier(rows_ready, parity);
    parity ^= 1;
    keep_sums(sums);
    begin_products();
#pragma unroll 1
    for (int c = 0; c < chunks; ++c) {
      const std::uint64_t a = tile_descriptor(own_rows + c * kXTileBytes);
      const std::uint64_t b = tile_descriptor(weights + c * kWeightTileBytes);
#pragma unroll
      for (int k = 0; k < kTileCols / 16; ++k) {
        multiply_tiles(T{}, sums, a + k * kNextColumns, b + k * kNextColumns);
      }
    }
    end_products();
    await_products<0>();
    keep_sums(sums);
    synchronise_group(1 + group);
    if (leads && block + step < args.row_blocks) start_rows(block + step);

    if constexpr (Norm) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        float sum = 0;
#pragma unroll
        for (int n = 0; n < Outputs / 8; ++n) sum += sums[4 * n + 2 * r] + sums[4 * n + 2 * r + 1];
        const float mean = group_sum<4>(sum) * (1.0F / Outputs);
        float squares = 0;
#pragma unroll
        for (int n = 0; n < Outputs / 8; ++n) {
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            float& value = sums[4 * n + 2 * r + i];
            value -= mean;
            squares += value * value;
          }
        }
        const float scale = 1.0F / sqrtf(group_sum<4>(squares) * (1.0F / Outputs) + args.epsilon);
#pragma unroll
        for (int n = 0; n < Outputs / 8; ++n) {
          sums[4 * n + 2 * r] *= scale;
          sums[4 * n + 2 * r + 1] *= scale;
        }
      }
#pragma unroll
      for (int n = 0; n < Outputs / 8; ++n) {
        const float2 weight = table_pair(args.norm_weight, 8 * n + 2 * t);
        const float2 bias = table_pair(args.norm_bias, 8 * n + 2 * t);
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          sums[4 * n + 2 * r] = sums[4 * n + 2 * r] * weight.x + bias.x;
          sums[4 * n + 2 * r + 1] = sums[4 * n + 2 * r + 1] * weight.y + bias.y;
        }
      }
    } else if (args.relu != 0) {
#pragma unroll
      for (int i = 0; i < kSums; ++i) sums[i] = fmaxf(sums[i], 0.0F);
    }

#pragma unroll
    for (int r = 0; r < 2; ++r) {
      R* const to = static_cast<R*>(args.y) + (row + 8 * r) * args.y_stride + first_output;
      const bool inside = row + 8 * r < args.rows;
      if constexpr (sizeof(R) == 2) {
#pragma unroll
        for (int j = 0; j < Outputs / 32; ++j) {
          std::uint32_t words[4];
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            words[i] = packed_pair<R>(sums[4 * (4 * j + i) + 2 * r],
                                      sums[4 * (4 * j + i) + 2 * r + 1]);
          }
          transpose_quad(words, t);
          if (inside) {
            *reinterpret_cast<uint4*>(to + 32 * j + 8 * t) = {words[0], words[1], words[2],
                                                              words[3]};
          }
        }
      } else {
#pragma unroll
        for (int n = 0; n < Outputs / 8; ++n) {
          if (inside) {
            *reinterpret_cast<float2*>(to + 8 * n + 2 * t) = {sums[4 * n + 2 * r],
                                                              sums[4 * n + 2 * r + 1]};
          }
        }
      }
    }
  }
#endif
}

void check(cudaError_t error, const char* name) {
  if (error == cudaSuccess) return;
  cudaGetLastError();
  throw_launch_error(static_cast<int>(error), name);
}

using EncodeMap = decltype(&cuTensorMapEncodeTiled);

/// Of the driver, which programs do not link.
EncodeMap encode_map() {
  static const EncodeMap found = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult result{};
#if CUDART_VERSION >= 12050
    const cudaError_t error = cudaGetDriverEntryPointByVersion(
        "cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &result);
#else
    const cudaError_t error =
        cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault, &result);
#endif
    check(error, "find cuTensorMapEncodeTiled");
    return result == cudaDriverEntryPointSuccess ? reinterpret_cast<EncodeMap>(function) : nullptr;
  }();
  return found;
}

/// Of a matrix of 16-bit values, in tiles of 64 columns.
CUtensorMap map_of(const void* data, DType dtype, std::int64_t rows, std::int64_t cols,
                   std::int64_t stride, int tile_rows) {
  CUtensorMap map{};
  const cuuint64_t extents[] = {static_cast<cuuint64_t>(cols), static_cast<cuuint64_t>(rows)};
  const cuuint64_t row_bytes[] = {static_cast<cuuint64_t>(stride) * 2};
  const cuuint32_t tile[] = {kTileCols, static_cast<cuuint32_t>(tile_rows)};
  const cuuint32_t steps[] = {1, 1};
  const CUresult result = encode_map()(
      &map,
      dtype == DType::kF16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2,
      const_cast<void*>(data), extents, row_bytes, tile, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
      CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
      CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) check(cudaErrorInvalidValue, "describe a matrix's tiles");
  return map;
}

template <class T, class R, int Outputs, bool Norm>
void run(Stream stream, const RowProductParams& params) {
  const auto row_blocks = static_cast<int>(ceil_div(params.y.rows, kRowsAtOnce));
  const auto across = static_cast<unsigned>(params.y.cols / Outputs);
  const int blocks = std::min(params.multiprocessors, row_blocks);
  const int groups = std::min(groups_of(Outputs, params.x.cols),
                              static_cast<int>(ceil_div(row_blocks, blocks)));
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
    float total = 0;
    for (int c = 0; c < cols; ++c) {
      float sum = residual.data != nullptr ? load_value(residual, row, c) : 0.0F;
      if (params.bias != nullptr) sum += params.bias[c];
      for (int k = 0; k < x.cols; ++k) sum += load_value(x, row, k) * load_value(weight, c, k);
      if (params.activation == ops::Activation::kRelu) sum = std::max(sum, 0.0F);
      values[static_cast<std::size_t>(c)] = sum;
      total += sum;
    }
    if (params.norm.weight != nullptr) {
      const float mean = total / static_cast<float>(cols);
      float squares = 0;
      for (float& value : values) {
        value -= mean;
        squares += value * value;
      }
      const float scale = 1.0F / std::sqrt(squares / static_cast<float>(cols) + params.norm.epsilon);
      for (int c = 0; c < cols; ++c) {
        float& value = values[static_cast<std::size_t>(c)];
        value = value * scale * params.norm.weight[c] + params.norm.bias[c];
      }
    }
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
