#pragma once

// Softmax attention of 16 query rows by one warp, keys in chunks (FlashAttention-2's order: running
// maxima and sums in fp32, scores never leave registers).

#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/mma.cuh"
#include "backend/cuda/kernels/tile.cuh"

namespace itemcrop::cuda::kernels {

/// scores[n][i] of 16 query rows and `Keys` keys: queries [16, Dim], keys [Keys, Dim] in tiles.
/// Only the first `used` keys matter, the same for the whole warp.
template <class T, int Dim, int Keys>
__device__ inline void multiply_keys(float (&scores)[Keys / 8][4], const T* queries, const T* keys,
                                     int used = Keys) {
  constexpr int kStride = tile_stride<T>(Dim);
#pragma unroll
  for (int n = 0; n < Keys / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) scores[n][i] = 0;
  }
#pragma unroll
  for (int k = 0; k < Dim; k += 16) {
    FragmentA<T> a;
    load_a(a, queries + k, kStride);
#pragma unroll
    for (int n = 0; n < Keys; n += 16) {
      if (n >= used) break;
      FragmentB<T> b[2];
      load_b(b, keys + n * kStride + k, kStride);
      multiply(scores[n / 8], a, b[0]);
      multiply(scores[n / 8 + 1], a, b[1]);
    }
  }
}

/// totals[n] += weights values: weights as multiply_keys() left scores, values [Keys, ValueDim]
/// with rows `stride` apart.
template <class T, int ValueDim, int Keys>
__device__ inline void multiply_values(float (&totals)[ValueDim / 8][4],
                                       const float (&weights)[Keys / 8][4], const T* values,
                                       int stride, int used = Keys) {
#pragma unroll
  for (int k = 0; k < Keys; k += 16) {
    if (k >= used) break;
    // C's layout of two neighbours is A's of one.
    FragmentA<T> a;
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const float* pair = &weights[k / 8 + r / 2][2 * (r % 2)];
      set_part(a, r, pair[0], pair[1]);
    }
#pragma unroll
    for (int n = 0; n < ValueDim; n += 16) {
      FragmentB<T> b[2];
      load_b_rows(b, values + k * stride + n, stride);
      multiply(totals[n / 8], a, b[0]);
      multiply(totals[n / 8 + 1], a, b[1]);
    }
  }
}

/// A warp's 16 rows: of Q K^T with Dim columns, summed over ValueDim columns of V.
template <class T, int Dim, int ValueDim, int Keys>
struct Flash {
  float totals[ValueDim / 8][4];
  float highest[2];  ///< of rows g and g + 8, so far
  float sums[2];     ///< of this lane's columns only

  __device__ void begin() {
#pragma unroll
    for (int n = 0; n < ValueDim / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) totals[n][i] = 0;
    }
    highest[0] = highest[1] = -INFINITY;
    sums[0] = sums[1] = 0;
  }

  /// One chunk of keys. score(row, key, product) scales, biases and masks (-inf).
  template <class Score>
  __device__ void add(const T* queries, const T* keys, const T* values, int value_stride,
                      const Score& score) {
    const int g = lane_id() / 4;
    const int t = lane_id() % 4;
    float scores[Keys / 8][4];
    multiply_keys<T, Dim, Keys>(scores, queries, keys);
    float most[2] = {highest[0], highest[1]};
#pragma unroll
    for (int n = 0; n < Keys / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        scores[n][i] = score(g + 8 * (i / 2), 8 * n + 2 * t + i % 2, scores[n][i]);
        most[i / 2] = fmaxf(most[i / 2], scores[n][i]);
      }
    }
    float correction[2];
    float origin[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      most[r] = group_max<4>(most[r]);
      // Where all keys so far are masked there is nothing to correct.
      origin[r] = most[r] == -INFINITY ? 0.0F : most[r];
      correction[r] = __expf(highest[r] - origin[r]);
      highest[r] = most[r];
      sums[r] *= correction[r];
    }
#pragma unroll
    for (int n = 0; n < ValueDim / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) totals[n][i] *= correction[i / 2];
    }
#pragma unroll
    for (int n = 0; n < Keys / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        scores[n][i] = __expf(scores[n][i] - origin[i / 2]);
        sums[i / 2] += scores[n][i];
      }
    }
    multiply_values<T, ValueDim, Keys>(totals, scores, values, value_stride);
  }

  /// Sums over the quad's columns; then totals / sum(r) is the answer.
  __device__ void finish() {
    sums[0] = group_sum<4>(sums[0]);
    sums[1] = group_sum<4>(sums[1]);
  }
  __device__ float share(int r) const { return sums[r] > 0 ? 1.0F / sums[r] : 0.0F; }
};

/// Writes accumulated values times share[r] to 16 rows of a tile in shared memory.
template <class T, int Cols>
__device__ inline void store_totals(const float (&totals)[Cols / 8][4], const float (&share)[2],
                                    T* tile, int stride) {
  const int g = lane_id() / 4;
  const int t = lane_id() % 4;
#pragma unroll
  for (int n = 0; n < Cols / 8; ++n) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      store_pair(tile + (g + 8 * r) * stride + 8 * n + 2 * t, totals[n][2 * r] * share[r],
                 totals[n][2 * r + 1] * share[r]);
    }
  }
}

}  // namespace itemcrop::cuda::kernels
