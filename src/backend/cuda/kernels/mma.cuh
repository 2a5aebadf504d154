#pragma once

// Matrix products of one warp, 16 x 8 x 16, operands in T and sums in fp32: tensor cores for 16-bit
// types, plain arithmetic for fp32 (the check precision), fp32 loops in the emulation.
//
// Lane 4 g + t holds, as mma.sync.m16n8k16 wants it:
//   A [16, 16]  part r, value j:  row g + 8 (r % 2), column 2 t + j + 8 (r / 2)
//   B [16, 8]   part r, value j:  row 2 t + j + 8 r, column g
//   C [16, 8]   value 2 r + j:    row g + 8 r, column 2 t + j

#include "backend/cuda/kernels/device.cuh"

namespace itemcrop::cuda::kernels {

/// `Parts` pairs of neighbouring values.
template <class T, int Parts>
struct Fragment {
  std::uint32_t parts[Parts];
};
template <int Parts>
struct Fragment<float, Parts> {
  float values[2 * Parts];
};
template <class T>
using FragmentA = Fragment<T, 4>;
template <class T>
using FragmentB = Fragment<T, 2>;

__device__ inline int lane_id() { return static_cast<int>(threadIdx.x % kWarp); }

template <class T, int Parts>
__device__ inline void set_part(Fragment<T, Parts>& fragment, int part, float first, float second) {
  fragment.parts[part] = packed_pair<T>(first, second);
}
template <int Parts>
__device__ inline void set_part(Fragment<float, Parts>& fragment, int part, float first,
                                float second) {
  fragment.values[2 * part] = first;
  fragment.values[2 * part + 1] = second;
}

/// Four 8 x 8 tiles of 16-bit values; lane i gives the address of row i % 8 of tile i / 8. Each
/// lane gets from each tile values 2 t and 2 t + 1 of row g, or of column g if `Transposed`.
#if defined(__CUDACC__)
template <bool Transposed>
__device__ inline void load_matrices(const void* row, std::uint32_t (&parts)[4]) {
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  if constexpr (Transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(parts[0]), "=r"(parts[1]), "=r"(parts[2]), "=r"(parts[3])
                 : "r"(address)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(parts[0]), "=r"(parts[1]), "=r"(parts[2]), "=r"(parts[3])
                 : "r"(address)
                 : "memory");
  }
}
#else
template <bool Transposed>
void load_matrices(const void* row, std::uint32_t (&parts)[4]) {
  struct Slot {
    const void* row;
    std::uint32_t* parts;
  } slot{row, parts};
  if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0) emulation::fault("ldmatrix is misaligned");
  emulation::warp_operation(&slot, [](void* const* slots) {
    const auto value = [&](int tile, int r, int c) {
      const auto* at =
          static_cast<const std::uint16_t*>(static_cast<const Slot*>(slots[8 * tile + r])->row);
      return static_cast<std::uint32_t>(at[c]);
    };
    for (int lane = 0; lane < 32; ++lane) {
      const int g = lane / 4;
      const int t = lane % 4;
      for (int tile = 0; tile < 4; ++tile) {
        const std::uint32_t first = Transposed ? value(tile, 2 * t, g) : value(tile, g, 2 * t);
        const std::uint32_t second =
            Transposed ? value(tile, 2 * t + 1, g) : value(tile, g, 2 * t + 1);
        static_cast<const Slot*>(slots[lane])->parts[tile] = first | second << 16;
      }
    }
  });
}
#endif

/// A from 16 rows of 16 values. All tiles lie in shared memory, rows at multiples of 16 bytes.
template <class T>
__device__ inline void load_a(FragmentA<T>& a, const T* tile, int stride) {
  const int lane = lane_id();
  if constexpr (sizeof(T) == 2) {
    load_matrices<false>(tile + (lane % 16) * stride + lane / 16 * 8, a.parts);
    return;
  }
  const int g = lane / 4;
  const int t = lane % 4;
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    const T* at = tile + (g + 8 * (r % 2)) * stride + 2 * t + 8 * (r / 2);
    set_part(a, r, to_float(at[0]), to_float(at[1]));
  }
}

/// The same from a tile that holds A's columns as rows: 16 rows of 16 values.
template <class T>
__device__ inline void load_a_columns(FragmentA<T>& a, const T* tile, int stride) {
  const int lane = lane_id();
  if constexpr (sizeof(T) == 2) {
    load_matrices<true>(tile + (lane / 16 * 8 + lane % 8) * stride + lane / 8 % 2 * 8, a.parts);
    return;
  }
  const int g = lane / 4;
  const int t = lane % 4;
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    const T* at = tile + (2 * t + 8 * (r / 2)) * stride + g + 8 * (r % 2);
    set_part(a, r, to_float(at[0]), to_float(at[stride]));
  }
}

/// Two neighbouring Bs, columns 0-7 and 8-15, from 16 rows that are B's rows (kRows) or columns.
template <bool kRows, class T>
__device__ inline void load_two_b(FragmentB<T> (&b)[2], const T* tile, int stride) {
  const int lane = lane_id();
  if constexpr (sizeof(T) == 2) {
    const int row = kRows ? lane % 16 : lane / 16 * 8 + lane % 8;
    const int col = kRows ? lane / 16 * 8 : lane / 8 % 2 * 8;
    std::uint32_t parts[4];
    load_matrices<kRows>(tile + row * stride + col, parts);
    b[0].parts[0] = parts[0];
    b[0].parts[1] = parts[1];
    b[1].parts[0] = parts[2];
    b[1].parts[1] = parts[3];
    return;
  }
  const int g = lane / 4;
  const int t = lane % 4;
#pragma unroll
  for (int n = 0; n < 2; ++n) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int k = 2 * t + 8 * r;
      const T* at = kRows ? tile + k * stride + 8 * n + g : tile + (8 * n + g) * stride + k;
      set_part(b[n], r, to_float(at[0]), to_float(at[kRows ? stride : 1]));
    }
  }
}

template <class T>
__device__ inline void load_b(FragmentB<T> (&b)[2], const T* tile, int stride) {
  load_two_b<false>(b, tile, stride);
}

template <class T>
__device__ inline void load_b_rows(FragmentB<T> (&b)[2], const T* tile, int stride) {
  load_two_b<true>(b, tile, stride);
}

/// fp32 is never rounded to a tensor core's type: values pass by shuffles, 1 for each product.
__device__ inline void multiply_by_shuffles(float (&c)[4], const FragmentA<float>& a,
                                            const FragmentB<float>& b) {
  const int g = lane_id() / 4;
  const int t = lane_id() % 4;
#pragma unroll
  for (int k = 0; k < 16; ++k) {
    const int from = k % 8 / 2;  // lane of a quad that holds k
    const int part = k / 8;
    const int j = k % 2;
    const float upper = __shfl_sync(kAllLanes, a.values[4 * part + j], 4 * g + from);
    const float lower = __shfl_sync(kAllLanes, a.values[4 * part + 2 + j], 4 * g + from);
    const float left = __shfl_sync(kAllLanes, b.values[2 * part + j], 4 * (2 * t) + from);
    const float right = __shfl_sync(kAllLanes, b.values[2 * part + j], 4 * (2 * t + 1) + from);
    c[0] += upper * left;
    c[1] += upper * right;
    c[2] += lower * left;
    c[3] += lower * right;
  }
}

#if defined(__CUDACC__)

__device__ inline void multiply(float (&c)[4], const FragmentA<Half>& a, const FragmentB<Half>& b) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a.parts[0]), "r"(a.parts[1]), "r"(a.parts[2]), "r"(a.parts[3]), "r"(b.parts[0]),
        "r"(b.parts[1]));
}

__device__ inline void multiply(float (&c)[4], const FragmentA<BFloat16>& a,
                                const FragmentB<BFloat16>& b) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a.parts[0]), "r"(a.parts[1]), "r"(a.parts[2]), "r"(a.parts[3]), "r"(b.parts[0]),
        "r"(b.parts[1]));
}

__device__ inline void multiply(float (&c)[4], const FragmentA<float>& a,
                                const FragmentB<float>& b) {
  multiply_by_shuffles(c, a, b);
}

#else

template <class T, int Parts>
void to_floats(const Fragment<T, Parts>& fragment, float* values) {
  T stored[2 * Parts];
  memcpy(stored, fragment.parts, sizeof(stored));
  for (int i = 0; i < 2 * Parts; ++i) values[i] = to_float(stored[i]);
}
template <int Parts>
void to_floats(const Fragment<float, Parts>& fragment, float* values) {
  memcpy(values, fragment.values, sizeof(fragment.values));
}

struct ProductSlot {
  float a[8];
  float b[4];
  float* c;
};

inline void multiply_slots(void* const* slots) {
  float a[16][16];
  float b[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const auto* slot = static_cast<const ProductSlot*>(slots[lane]);
    const int g = lane / 4;
    const int t = lane % 4;
    for (int j = 0; j < 2; ++j) {
      for (int r = 0; r < 4; ++r) a[g + 8 * (r % 2)][2 * t + j + 8 * (r / 2)] = slot->a[2 * r + j];
      for (int r = 0; r < 2; ++r) b[2 * t + j + 8 * r][g] = slot->b[2 * r + j];
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    float* c = static_cast<const ProductSlot*>(slots[lane])->c;
    const int g = lane / 4;
    const int t = lane % 4;
    for (int i = 0; i < 4; ++i) {
      const int row = g + 8 * (i / 2);
      const int column = 2 * t + i % 2;
      float sum = 0;
      for (int k = 0; k < 16; ++k) sum += a[row][k] * b[k][column];
      c[i] += sum;
    }
  }
}

template <class T>
void multiply(float (&c)[4], const FragmentA<T>& a, const FragmentB<T>& b) {
  ProductSlot slot;
  to_floats(a, slot.a);
  to_floats(b, slot.b);
  slot.c = c;
  emulation::warp_operation(&slot, multiply_slots);
}

#endif

}  // namespace itemcrop::cuda::kernels
