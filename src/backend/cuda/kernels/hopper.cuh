#pragma once

// What Hopper adds for matrix products, for code of sm_90a alone: copies of tiles by the bulk copy
// engine, which complete on barriers in shared memory, and products of 64 rows by four warps that
// read both operands there. Tiles are rows of 128 bytes (64 values of 16 bits) in the engine's
// 128-byte swizzle, at multiples of 1,024 bytes.

#include <cmath>
#include <span>

#include "backend/cuda/kernels/device.cuh"

#if defined(__CUDACC__)
#include <cuda.h>

namespace itemcrop::cuda::kernels {

inline constexpr int kGroupThreads = 128;  ///< four warps that multiply together
inline constexpr int kGroupRows = 64;      ///< rows of their products
inline constexpr int kTileCols = 64;       ///< values of a tile's row
inline constexpr int kTileRowBytes = 128;

__device__ inline std::uint32_t shared_address(const void* at) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(at));
}

// --- barriers --------------------------------------------------------------------------------

__device__ inline void init_barrier(std::uint32_t barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
/// After all init_barrier() and before the block's barrier.
__device__ inline void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
/// Arrives, and lets the barrier wait for `bytes` of copies.
__device__ inline void expect_bytes(std::uint32_t barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
}
__device__ inline void arrive(std::uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
/// Waits for the end of the phase of this parity.
__device__ inline void wait_barrier(std::uint32_t barrier, std::uint32_t parity) {
  std::uint32_t done = 0;
  while (done == 0) {
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%1], %2;\n"
        "selp.u32 %0, 1, 0, done;\n"
        "}\n"
        : "=r"(done)
        : "r"(barrier), "r"(parity)
        : "memory");
  }
}
/// Of the four warps alone; `id` from 1 to 15.
__device__ inline void synchronise_group(int id) {
  asm volatile("bar.sync %0, 128;" ::"r"(id) : "memory");
}

/// A word in shared memory.
__device__ inline void store_word(std::uint32_t to, std::uint32_t word) {
  asm volatile("st.shared.u32 [%0], %1;" ::"r"(to), "r"(word) : "memory");
}
__device__ inline std::uint32_t load_word(std::uint32_t from) {
  std::uint32_t word;
  asm volatile("ld.shared.u32 %0, [%1];" : "=r"(word) : "r"(from) : "memory");
  return word;
}

// --- copies ----------------------------------------------------------------------------------

/// Starts a copy of a tile at (col, row) of the map's matrix; zeros outside of it count as bytes.
__device__ inline void start_tile_copy(std::uint32_t to, const CUtensorMap* map, int col, int row,
                                       std::uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%2, %3}], [%4];" ::"r"(to),
      "l"(map), "r"(col), "r"(row), "r"(barrier)
      : "memory");
}

// --- products --------------------------------------------------------------------------------

/// Where a tile lies, as products want it: rows of 128 bytes, swizzled, eight of them 1,024 apart.
__device__ inline std::uint64_t tile_descriptor(std::uint32_t address) {
  constexpr std::uint64_t kEightRows = 1024 >> 4;
  constexpr std::uint64_t kSwizzle128 = 1;
  return static_cast<std::uint64_t>((address & 0x3FFFFU) >> 4) | std::uint64_t{1} << 16 |
         kEightRows << 32 | kSwizzle128 << 62;
}
/// From 16 columns of a tile to the next.
inline constexpr std::uint64_t kNextColumns = 32 >> 4;

/// The same where rows are a product's inputs and columns its outputs, in tiles of 64 rows.
__device__ inline std::uint64_t rows_descriptor(std::uint32_t address) {
  constexpr std::uint64_t kNextTile = kGroupRows * kTileRowBytes >> 4;  // of 64 outputs
  constexpr std::uint64_t kEightRows = 1024 >> 4;                       // of inputs
  constexpr std::uint64_t kSwizzle128 = 1;
  return static_cast<std::uint64_t>((address & 0x3FFFFU) >> 4) | kNextTile << 16 |
         kEightRows << 32 | kSwizzle128 << 62;
}
/// From 16 rows of a tile to the next.
inline constexpr std::uint64_t kNextRows = 16 * kTileRowBytes >> 4;

/// Around products: the compiler must not move what it knows of the sums across them.
template <int Count>
__device__ inline void keep_sums(float (&d)[Count]) {
#pragma unroll
  for (int i = 0; i < Count; ++i) asm volatile("" : "+f"(d[i])::"memory");
}
__device__ inline void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void end_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/// Waits for all but the last `Pending` ends.
template <int Pending>
__device__ inline void await_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory");
}

// multiply_tiles(): d = A B^T of 16 columns, or d += with `add`. Lane 4 g + t of warp w holds, of
// each 8 outputs n, output 8 n + 2 t + j: value 4 n + j of row 16 w + g, and value 4 n + 2 + j of
// row 16 w + g + 8. multiply_tile(): d += A B^T with A in registers, parts as mma.cuh's FragmentA
// of each warp's 16 rows; they belong to the product until await_products().
// multiply_tile_by_rows(): d += A B with 16 rows of B, whose columns are the outputs.
//
// An instruction names each of its sums, so macros write these; A to E are the operands after them.

#define ITEMCROP_PLACES_32                   \
  "%0, %1, %2, %3, %4, %5, %6, %7"           \
  ", %8, %9, %10, %11, %12, %13, %14, %15"   \
  ", %16, %17, %18, %19, %20, %21, %22, %23" \
  ", %24, %25, %26, %27, %28, %29, %30, %31"
#define ITEMCROP_PLACES_64                   \
  ITEMCROP_PLACES_32                         \
  ", %32, %33, %34, %35, %36, %37, %38, %39" \
  ", %40, %41, %42, %43, %44, %45, %46, %47" \
  ", %48, %49, %50, %51, %52, %53, %54, %55" \
  ", %56, %57, %58, %59, %60, %61, %62, %63"
#define ITEMCROP_PLACES_128                          \
  ITEMCROP_PLACES_64                                 \
  ", %64, %65, %66, %67, %68, %69, %70, %71"         \
  ", %72, %73, %74, %75, %76, %77, %78, %79"         \
  ", %80, %81, %82, %83, %84, %85, %86, %87"         \
  ", %88, %89, %90, %91, %92, %93, %94, %95"         \
  ", %96, %97, %98, %99, %100, %101, %102, %103"     \
  ", %104, %105, %106, %107, %108, %109, %110, %111" \
  ", %112, %113, %114, %115, %116, %117, %118, %119" \
  ", %120, %121, %122, %123, %124, %125, %126, %127"
#define ITEMCROP_SUMS_8(i)                                                            \
  "+f"(d[i]), "+f"(d[(i) + 1]), "+f"(d[(i) + 2]), "+f"(d[(i) + 3]), "+f"(d[(i) + 4]), \
      "+f"(d[(i) + 5]), "+f"(d[(i) + 6]), "+f"(d[(i) + 7])
#define ITEMCROP_SUMS_32_FROM(i) \
  ITEMCROP_SUMS_8(i), ITEMCROP_SUMS_8((i) + 8), ITEMCROP_SUMS_8((i) + 16), ITEMCROP_SUMS_8((i) + 24)
#define ITEMCROP_SUMS_32 ITEMCROP_SUMS_32_FROM(0)
#define ITEMCROP_SUMS_64 ITEMCROP_SUMS_32, ITEMCROP_SUMS_32_FROM(32)
#define ITEMCROP_SUMS_128 ITEMCROP_SUMS_64, ITEMCROP_SUMS_32_FROM(64), ITEMCROP_SUMS_32_FROM(96)
#define ITEMCROP_PRODUCTS_OF(TYPE, NAME, SUMS, OUTPUTS, A, B, C, D, E)                             \
  __device__ inline void multiply_tiles(TYPE /*type*/, float(&d)[SUMS], std::uint64_t a,           \
                                        std::uint64_t b, int add = 1) {                            \
    asm volatile("{\n.reg .pred add;\nsetp.ne.s32 add, " C                                         \
                 ", 0;\n"                                                                          \
                 "wgmma.mma_async.sync.aligned.m64n" OUTPUTS "k16.f32." NAME "." NAME              \
                 " {" ITEMCROP_PLACES_##SUMS "}, " A ", " B ", add, 1, 1, 0, 0;\n}\n"              \
                 : ITEMCROP_SUMS_##SUMS                                                            \
                 : "l"(a), "l"(b), "r"(add));                                                      \
  }                                                                                                \
  __device__ inline void multiply_tile(TYPE /*type*/, float(&d)[SUMS], const std::uint32_t(&a)[4], \
                                       std::uint64_t b) {                                          \
    asm volatile(                                                                                  \
        "{\n.reg .pred add;\nsetp.eq.u32 add, 0, 0;\n"                                             \
        "wgmma.mma_async.sync.aligned.m64n" OUTPUTS "k16.f32." NAME "." NAME                       \
        " {" ITEMCROP_PLACES_##SUMS "}, {" A ", " B ", " C ", " D "}, " E ", add, 1, 1, 0;\n}\n"   \
        : ITEMCROP_SUMS_##SUMS                                                                     \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));                                     \
  }                                                                                                \
  __device__ inline void multiply_tile_by_rows(TYPE /*type*/, float(&d)[SUMS],                     \
                                               const std::uint32_t(&a)[4], std::uint64_t b) {      \
    asm volatile(                                                                                  \
        "{\n.reg .pred add;\nsetp.eq.u32 add, 0, 0;\n"                                             \
        "wgmma.mma_async.sync.aligned.m64n" OUTPUTS "k16.f32." NAME "." NAME                       \
        " {" ITEMCROP_PLACES_##SUMS "}, {" A ", " B ", " C ", " D "}, " E ", add, 1, 1, 1;\n}\n"   \
        : ITEMCROP_SUMS_##SUMS                                                                     \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));                                     \
  }
#define ITEMCROP_PRODUCTS(...)                   \
  ITEMCROP_PRODUCTS_OF(Half, "f16", __VA_ARGS__) \
  ITEMCROP_PRODUCTS_OF(BFloat16, "bf16", __VA_ARGS__)

ITEMCROP_PRODUCTS(32, "64", "%32", "%33", "%34", "%35", "%36")
ITEMCROP_PRODUCTS(64, "128", "%64", "%65", "%66", "%67", "%68")
ITEMCROP_PRODUCTS(128, "256", "%128", "%129", "%130", "%131", "%132")

#undef ITEMCROP_PRODUCTS
#undef ITEMCROP_PRODUCTS_OF
#undef ITEMCROP_SUMS_128
#undef ITEMCROP_SUMS_64
#undef ITEMCROP_SUMS_32
#undef ITEMCROP_SUMS_32_FROM
#undef ITEMCROP_SUMS_8
#undef ITEMCROP_PLACES_128
#undef ITEMCROP_PLACES_64
#undef ITEMCROP_PLACES_32

// --- registers ---------------------------------------------------------------------------------

/// Registers of each thread of the four warps from here on.
template <int Count>
__device__ inline void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Count));
}
template <int Count>
__device__ inline void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Count));
}

// --- rows of sums ----------------------------------------------------------------------------

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

/// Adds a row's 8 by 8 columns from `first_output` on to the sums; the row g of the warp's 16 is
/// `row`, the other one row + 8. Rows past the end have zeros.
template <class T, int Sums>
__device__ inline void add_rows(float (&sums)[Sums], const T* from, std::int64_t stride,
                                std::int64_t row, std::int64_t rows, int first_output, int t) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
#pragma unroll
    for (int j = 0; j < Sums / 16; ++j) {
      uint4 packed{0, 0, 0, 0};
      if (row + 8 * r < rows) {
        packed = *reinterpret_cast<const uint4*>(from + (row + 8 * r) * stride + first_output +
                                                 32 * j + 8 * t);
      }
      std::uint32_t words[4] = {packed.x, packed.y, packed.z, packed.w};
      transpose_quad(words, t);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float2 pair = unpack_pair<T>(words[i]);
        sums[4 * (4 * j + i) + 2 * r] += pair.x;
        sums[4 * (4 * j + i) + 2 * r + 1] += pair.y;
      }
    }
  }
}

/// Adds a table of one row.
template <int Sums>
__device__ inline void add_table(float (&sums)[Sums], const float* table, int first_output, int t) {
#pragma unroll
  for (int n = 0; n < Sums / 4; ++n) {
    const float2 pair = table_pair(table, first_output + 8 * n + 2 * t);
    sums[4 * n] += pair.x;
    sums[4 * n + 1] += pair.y;
    sums[4 * n + 2] += pair.x;
    sums[4 * n + 3] += pair.y;
  }
}

/// Layer norm of whole rows.
template <int Sums>
__device__ inline void normalise_sums(float (&sums)[Sums], const float* weight, const float* bias,
                                      float epsilon, int t) {
  constexpr float kShare = 1.0F / (2 * Sums);
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float sum = 0;
#pragma unroll
    for (int n = 0; n < Sums / 4; ++n) sum += sums[4 * n + 2 * r] + sums[4 * n + 2 * r + 1];
    const float mean = group_sum<4>(sum) * kShare;
    float squares = 0;
#pragma unroll
    for (int n = 0; n < Sums / 4; ++n) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float& value = sums[4 * n + 2 * r + i];
        value -= mean;
        squares += value * value;
      }
    }
    const float scale = 1.0F / sqrtf(group_sum<4>(squares) * kShare + epsilon);
#pragma unroll
    for (int n = 0; n < Sums / 4; ++n) {
      sums[4 * n + 2 * r] *= scale;
      sums[4 * n + 2 * r + 1] *= scale;
    }
  }
#pragma unroll
  for (int n = 0; n < Sums / 4; ++n) {
    const float2 w = table_pair(weight, 8 * n + 2 * t);
    const float2 b = table_pair(bias, 8 * n + 2 * t);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      sums[4 * n + 2 * r] = sums[4 * n + 2 * r] * w.x + b.x;
      sums[4 * n + 2 * r + 1] = sums[4 * n + 2 * r + 1] * w.y + b.y;
    }
  }
}

template <class R, int Sums>
__device__ inline void store_rows(const float (&sums)[Sums], R* y, std::int64_t stride,
                                  std::int64_t row, std::int64_t rows, int first_output, int t) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    R* const to = y + (row + 8 * r) * stride + first_output;
    const bool inside = row + 8 * r < rows;
    if constexpr (sizeof(R) == 2) {
#pragma unroll
      for (int j = 0; j < Sums / 16; ++j) {
        std::uint32_t words[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          words[i] =
              packed_pair<R>(sums[4 * (4 * j + i) + 2 * r], sums[4 * (4 * j + i) + 2 * r + 1]);
        }
        transpose_quad(words, t);
        if (inside) {
          *reinterpret_cast<uint4*>(to + 32 * j + 8 * t) = {words[0], words[1], words[2], words[3]};
        }
      }
    } else {
#pragma unroll
      for (int n = 0; n < Sums / 4; ++n) {
        if (inside) {
          *reinterpret_cast<float2*>(to + 8 * n + 2 * t) = {sums[4 * n + 2 * r],
                                                            sums[4 * n + 2 * r + 1]};
        }
      }
    }
  }
}

// --- host ------------------------------------------------------------------------------------

inline void check(cudaError_t error, const char* name) {
  if (error == cudaSuccess) return;
  cudaGetLastError();
  throw_launch_error(static_cast<int>(error), name);
}

using EncodeMap = decltype(&cuTensorMapEncodeTiled);

/// Of the driver, which programs do not link.
inline EncodeMap encode_map() {
  static const EncodeMap found = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult result{};
#if CUDART_VERSION >= 12050
    const cudaError_t error = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function,
                                                               12000, cudaEnableDefault, &result);
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
inline CUtensorMap map_of(const void* data, DType dtype, std::int64_t rows, std::int64_t cols,
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

}  // namespace itemcrop::cuda::kernels

#else

namespace itemcrop::cuda::kernels {

/// What the device computes of a row of sums, by loops: its layer norm.
inline void normalise_row(std::span<float> sums, const RowNorm& norm) {
  const auto count = static_cast<float>(sums.size());
  float total = 0;
  for (const float sum : sums) total += sum;
  const float mean = total / count;
  float squares = 0;
  for (float& sum : sums) {
    sum -= mean;
    squares += sum * sum;
  }
  const float scale = 1.0F / std::sqrt(squares / count + norm.epsilon);
  for (std::size_t i = 0; i < sums.size(); ++i) {
    sums[i] = sums[i] * scale * norm.weight[i] + norm.bias[i];
  }
}

}  // namespace itemcrop::cuda::kernels

#endif
