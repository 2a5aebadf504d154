#pragma once

// What every kernel includes: CUDA, or its emulation for a C++ compiler; types, loads, launches.

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_pipeline_primitives.h>
#include <cuda_runtime.h>
#else
#include "backend/cuda/emulation/device.h"
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "backend/cuda/kernels/layout.h"

namespace itemcrop::cuda::kernels {

inline constexpr unsigned kWarp = 32;
inline constexpr unsigned kAllLanes = 0xFFFFFFFFU;

// --- 16-bit floats ---------------------------------------------------------------------------

#if defined(__CUDACC__)
using Half = __half;
using BFloat16 = __nv_bfloat16;

__device__ inline float to_float(Half x) { return __half2float(x); }
__device__ inline float to_float(BFloat16 x) { return __bfloat162float(x); }
__device__ inline void from_float(float x, Half& y) { y = __float2half_rn(x); }
__device__ inline void from_float(float x, BFloat16& y) { y = __float2bfloat16_rn(x); }

/// Dynamic shared memory, aligned to 16 bytes.
__device__ inline unsigned char* dynamic_shared() {
  extern __shared__ uint4 shared_memory[];
  return reinterpret_cast<unsigned char*>(shared_memory);
}
#else
using emulation::BFloat16;
using emulation::Half;

inline float to_float(Half x) { return f16_to_float(x.bits); }
inline float to_float(BFloat16 x) { return bf16_to_float(x.bits); }
inline void from_float(float x, Half& y) { y.bits = emulation::float_to_f16(x); }
inline void from_float(float x, BFloat16& y) { y.bits = float_to_bf16(x); }

inline unsigned char* dynamic_shared() { return emulation::running.dynamic_shared; }
#endif

__device__ inline float to_float(float x) { return x; }
__device__ inline void from_float(float x, float& y) { y = x; }

template <class T>
__device__ inline T converted(float x) {
  T y;
  from_float(x, y);
  return y;
}

/// Two neighbouring 16-bit values, by one instruction on a device.
template <class T>
__device__ inline std::uint32_t packed_pair(float first, float second) {
#if defined(__CUDACC__)
  std::conditional_t<std::is_same_v<T, Half>, __half2, __nv_bfloat162> pair;
  if constexpr (std::is_same_v<T, Half>) {
    pair = __floats2half2_rn(first, second);
  } else {
    pair = __floats2bfloat162_rn(first, second);
  }
#else
  const T pair[2] = {converted<T>(first), converted<T>(second)};
#endif
  std::uint32_t packed;
  memcpy(&packed, &pair, sizeof(packed));
  return packed;
}

/// 2^x within two units of the last place. __expf() looks after denormal numbers, which costs it
/// four more instructions; a softmax does not miss them.
__device__ inline float power_of_two(float x) {
#if defined(__CUDACC__)
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return std::exp2(x);
#endif
}

/// body(T{}) with T the element type of a float matrix.
template <class Body>
void dispatch_float(DType dtype, Body&& body) {
  switch (dtype) {
    case DType::kF16:
      return body(Half{});
    case DType::kBF16:
      return body(BFloat16{});
    default:
      return body(float{});
  }
}

// --- matrices on the device ------------------------------------------------------------------

/// A matrix as a kernel sees it. Its type is looked at per access, which a memory-bound kernel does
/// not feel and which saves a kernel for every mixture of types.
struct View {
  void* data = nullptr;
  std::int64_t stride = 0;
  std::int32_t cols = 0;
  DType dtype = DType::kF32;
  bool wide = false;  ///< rows start at multiples of 16 bytes
};

inline View view_of(const Matrix& m) {
  const auto bytes = static_cast<std::int64_t>(size_of(m.dtype));
  const bool wide =
      reinterpret_cast<std::uintptr_t>(m.data) % 16 == 0 && m.stride * bytes % 16 == 0;
  // kI32 is only ever moved.
  const DType dtype = m.dtype == DType::kI32 ? DType::kF32 : m.dtype;
  return {m.data, m.stride, static_cast<std::int32_t>(m.cols), dtype, wide};
}

// --- asynchronous copies ---------------------------------------------------------------------

/// Starts a copy of 16 bytes from device to shared memory, both aligned to 16.
__device__ inline void start_copy(void* to, const void* from) {
#if defined(__CUDACC__)
  __pipeline_memcpy_async(to, from, 16);
#else
  emulation::enqueue_copy(to, from);
#endif
}
/// Waits for the copies that this thread has started.
__device__ inline void finish_copies() {
#if defined(__CUDACC__)
  __pipeline_commit();
  __pipeline_wait_prior(0);
#else
  emulation::make_copies();
#endif
}

// --- vectors ---------------------------------------------------------------------------------

inline constexpr int kVector = 8;  ///< values that a thread loads at once

// Vectors are loaded as values of 16 bytes before anything else looks at them: memcpy from the
// place itself would be a load an element, as it knows no alignment.

/// Eight 16-bit floats.
template <class T>
__device__ inline void unpack(uint4 packed, float (&to)[kVector]) {
  T values[kVector];
  memcpy(values, &packed, sizeof(packed));
#pragma unroll
  for (int i = 0; i < kVector; ++i) to[i] = to_float(values[i]);
}

template <class T>
__device__ inline void load_packed(const T* from, float (&to)[kVector]) {
  const uint4 packed = *reinterpret_cast<const uint4*>(from);
  unpack<T>(packed, to);
}
template <>
__device__ inline void load_packed<float>(const float* from, float (&to)[kVector]) {
  const uint4 packed[2] = {reinterpret_cast<const uint4*>(from)[0],
                           reinterpret_cast<const uint4*>(from)[1]};
  memcpy(to, packed, sizeof(packed));
}

template <class T>
__device__ inline void store_packed(const float (&from)[kVector], T* to) {
  T values[kVector];
#pragma unroll
  for (int i = 0; i < kVector; ++i) from_float(from[i], values[i]);
  uint4 packed;
  memcpy(&packed, values, sizeof(packed));
  *reinterpret_cast<uint4*>(to) = packed;
}
template <>
__device__ inline void store_packed<float>(const float (&from)[kVector], float* to) {
  uint4 packed[2];
  memcpy(packed, from, sizeof(packed));
  reinterpret_cast<uint4*>(to)[0] = packed[0];
  reinterpret_cast<uint4*>(to)[1] = packed[1];
}

template <class T>
__device__ inline void load_typed(const View& view, std::int64_t row, std::int32_t col,
                                  float (&to)[kVector]) {
  const T* from = static_cast<const T*>(view.data) + row * view.stride + col;
  if (view.wide && col + kVector <= view.cols) {
    load_packed(from, to);
  } else {
#pragma unroll
    for (int i = 0; i < kVector; ++i) to[i] = col + i < view.cols ? to_float(from[i]) : 0.0F;
  }
}

/// Columns [col, col + 8) of a row; zeros beyond the last column. col: a multiple of 8.
__device__ inline void load_vector(const View& view, std::int64_t row, std::int32_t col,
                                   float (&to)[kVector]) {
  if (view.dtype == DType::kF16) return load_typed<Half>(view, row, col, to);
  if (view.dtype == DType::kBF16) return load_typed<BFloat16>(view, row, col, to);
  load_typed<float>(view, row, col, to);
}

template <class T>
__device__ inline void store_typed(const View& view, std::int64_t row, std::int32_t col,
                                   const float (&from)[kVector]) {
  T* to = static_cast<T*>(view.data) + row * view.stride + col;
  if (view.wide && col + kVector <= view.cols) {
    store_packed(from, to);
  } else {
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
      if (col + i < view.cols) from_float(from[i], to[i]);
    }
  }
}

__device__ inline void store_vector(const View& view, std::int64_t row, std::int32_t col,
                                    const float (&from)[kVector]) {
  if (view.dtype == DType::kF16) return store_typed<Half>(view, row, col, from);
  if (view.dtype == DType::kBF16) return store_typed<BFloat16>(view, row, col, from);
  store_typed<float>(view, row, col, from);
}

/// Columns [col, col + 8) of a table of one row; zeros beyond `cols`. col: a multiple of 8.
__device__ inline void load_table(const float* table, std::int32_t col, std::int32_t cols,
                                  float (&to)[kVector]) {
  if (reinterpret_cast<std::uintptr_t>(table) % 16 == 0 && col + kVector <= cols) {
    load_packed(table + col, to);
  } else {
#pragma unroll
    for (int i = 0; i < kVector; ++i) to[i] = col + i < cols ? __ldg(table + col + i) : 0.0F;
  }
}

__device__ inline float load_value(const View& view, std::int64_t row, std::int32_t col) {
  const std::int64_t at = row * view.stride + col;
  if (view.dtype == DType::kF16) return to_float(static_cast<const Half*>(view.data)[at]);
  if (view.dtype == DType::kBF16) return to_float(static_cast<const BFloat16*>(view.data)[at]);
  return static_cast<const float*>(view.data)[at];
}

// --- sums ------------------------------------------------------------------------------------

/// Sum over groups of `G` neighbouring lanes, the same bits in each of them.
template <int G>
__device__ inline float group_sum(float x) {
#pragma unroll
  for (int lanes = G / 2; lanes > 0; lanes /= 2) x += __shfl_xor_sync(kAllLanes, x, lanes);
  return x;
}

template <int G>
__device__ inline float group_max(float x) {
#pragma unroll
  for (int lanes = G / 2; lanes > 0; lanes /= 2) {
    x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, lanes));
  }
  return x;
}

// --- launches --------------------------------------------------------------------------------

inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// The first statement of every kernel, for all of its threads: a launch may have been early
/// (layout.h), so nothing is read or written before this. The next kernel's blocks may then come as
/// soon as places are free, and wait here in turn; that each waits for all of its predecessor keeps
/// the order whole, however long the row of early launches. __ldg() is for weights and tables
/// alone: its loads may pass this and find in the cache what was there before.
__device__ inline void await_predecessor() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

#if defined(__CUDACC__)
template <class... P, class... A>
void launch(const char* name, void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes,
            Stream stream, A&&... arguments) {
  constexpr std::size_t kDefaultLimit = std::size_t{48} << 10;
  cudaError_t error = cudaSuccess;
  if (shared_bytes > kDefaultLimit) {
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 static_cast<int>(shared_bytes));
  }
  if (error == cudaSuccess) {
    cudaLaunchAttribute attribute{};
    if (early_launches.next) {
      attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
      attribute.val.programmaticStreamSerializationAllowed = 1;
    }
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared_bytes;
    config.stream = static_cast<cudaStream_t>(stream);
    config.attrs = &attribute;
    config.numAttrs = early_launches.next ? 1 : 0;
    error = cudaLaunchKernelEx(&config, kernel, static_cast<P>(arguments)...);
    if (error != cudaSuccess) cudaGetLastError();
    early_launches.next = early_launches.later;
  }
  if (error != cudaSuccess) throw_launch_error(static_cast<int>(error), name);
}
#else
template <class... P, class... A>
void launch(const char* name, void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes,
            Stream stream, A&&... arguments) {
  emulation::require_selected(stream, name);
  auto call = [&] { kernel(static_cast<P>(arguments)...); };
  emulation::run_grid(
      name, grid, block, shared_bytes, [](void* body) { (*static_cast<decltype(call)*>(body))(); },
      &call);
}
#endif

}  // namespace itemcrop::cuda::kernels
