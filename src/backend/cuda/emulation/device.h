#pragma once

// The part of CUDA C++ that the kernels use, for a C++ compiler. Included by kernels/device.cuh
// instead of CUDA's headers.

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "backend/cuda/emulation/devices.h"
#include "backend/cuda/emulation/grid.h"
#include "backend/cuda/emulation/numbers.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
// Blocks of one thread of the system run one after another.
#define __shared__ static thread_local

#define threadIdx (::itemcrop::cuda::emulation::running.thread_index)
#define blockIdx (::itemcrop::cuda::emulation::running.block_index)
#define blockDim (::itemcrop::cuda::emulation::running.block_size)
#define gridDim (::itemcrop::cuda::emulation::running.grid_size)

using dim3 = itemcrop::cuda::emulation::Dim3;

struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

inline void __syncthreads() { itemcrop::cuda::emulation::block_barrier(); }

namespace itemcrop::cuda::emulation {

inline void synchronise_warp() {
  warp_operation(nullptr, [](void* const*) {});
}

template <class T>
T shuffle(T value, unsigned source) {
  struct Slot {
    T value, result;
    unsigned source;
  } slot{value, value, source};
  warp_operation(&slot, [](void* const* slots) {
    for (unsigned lane = 0; lane < kLanes; ++lane) {
      auto* mine = static_cast<Slot*>(slots[lane]);
      mine->result = static_cast<const Slot*>(slots[mine->source % kLanes])->value;
    }
  });
  return slot.result;
}

inline unsigned ballot(bool vote) {
  struct Slot {
    unsigned votes;
    bool vote;
  } slot{0, vote};
  warp_operation(&slot, [](void* const* slots) {
    unsigned votes = 0;
    for (unsigned lane = 0; lane < kLanes; ++lane) {
      if (static_cast<const Slot*>(slots[lane])->vote) votes |= 1U << lane;
    }
    for (unsigned lane = 0; lane < kLanes; ++lane) static_cast<Slot*>(slots[lane])->votes = votes;
  });
  return slot.votes;
}

}  // namespace itemcrop::cuda::emulation

inline void __syncwarp() { itemcrop::cuda::emulation::synchronise_warp(); }
template <class T>
T __shfl_sync(unsigned /*mask*/, T value, int source) {
  return itemcrop::cuda::emulation::shuffle(value, static_cast<unsigned>(source));
}
template <class T>
T __shfl_xor_sync(unsigned /*mask*/, T value, int lanes) {
  return itemcrop::cuda::emulation::shuffle(
      value, itemcrop::cuda::emulation::running.lane ^ static_cast<unsigned>(lanes));
}
template <class T>
T __shfl_up_sync(unsigned /*mask*/, T value, unsigned lanes) {
  const unsigned lane = itemcrop::cuda::emulation::running.lane;
  return itemcrop::cuda::emulation::shuffle(value, lane >= lanes ? lane - lanes : lane);
}
inline unsigned __ballot_sync(unsigned /*mask*/, bool vote) {
  return itemcrop::cuda::emulation::ballot(vote);
}

// Threads of a block take turns only at barriers, so these need no care.
inline int atomicAdd(int* address, int value) {
  const int old = *address;
  *address += value;
  return old;
}

template <class T>
T __ldg(const T* address) {
  return *address;
}
inline unsigned __float_as_uint(float value) { return std::bit_cast<unsigned>(value); }
inline float __uint_as_float(unsigned bits) { return std::bit_cast<float>(bits); }
inline int __popc(unsigned bits) { return std::popcount(bits); }
inline float __expf(float x) { return std::exp(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float rsqrtf(float x) { return 1.0F / std::sqrt(x); }
using std::max;
using std::min;
