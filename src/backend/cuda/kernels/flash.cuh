#pragma once

// Softmax attention of 16 query rows by one warp, keys in chunks (FlashAttention-2's order: running
// maxima and sums in fp32, scores never leave registers).

#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/mma.cuh"
#include "backend/cuda/kernels/tile.cuh"

namespace itemcrop::cuda::kernels {

/// scores[n][i] += products of 16 query rows and `Keys` keys (a multiple of 8): queries [16, Dim],
/// keys [Keys rounded up to 16, Dim] in tiles. Only the first `used` keys matter, the same for the
/// whole warp.
template <class T, int Dim, int Keys>
__device__ inline void add_products(float (&scores)[Keys / 8][4], const T* queries, const T* keys,
                                    int used = Keys) {
  constexpr int kStride = tile_stride<T>(Dim);
  if constexpr (sizeof(T) == 4) {
    // Both operands lie in shared memory, so a lane reads what its products need: sixteen of them
    // for four loads, where fragments cost a shuffle a product.
    const float* const query = queries + lane_id() / 4 * kStride;
    const float* const key = keys + lane_id() % 4 * 2 * kStride;
#pragma unroll 2
    for (int k = 0; k < Dim; k += 4) {
      float q[2][4];
      memcpy(q[0], reinterpret_cast<const uint4*>(query + k), sizeof(uint4));
      memcpy(q[1], reinterpret_cast<const uint4*>(query + 8 * kStride + k), sizeof(uint4));
#pragma unroll
      for (int n = 0; n < Keys / 8; ++n) {
        if (8 * n >= used) break;
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float other[4];
          memcpy(other, reinterpret_cast<const uint4*>(key + (8 * n + i) * kStride + k),
                 sizeof(uint4));
#pragma unroll
          for (int j = 0; j < 4; ++j) {
            scores[n][i] += q[0][j] * other[j];
            scores[n][2 + i] += q[1][j] * other[j];
          }
        }
      }
    }
  } else {
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
        if (n + 8 < Keys) multiply(scores[n / 8 + 1], a, b[1]);
      }
    }
  }
}

/// The same from zero.
template <class T, int Dim, int Keys>
__device__ inline void multiply_keys(float (&scores)[Keys / 8][4], const T* queries, const T* keys,
                                     int used = Keys) {
#pragma unroll
  for (int n = 0; n < Keys / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) scores[n][i] = 0;
  }
  add_products<T, Dim, Keys>(scores, queries, keys, used);
}

/// totals[n] += weights values: weights as multiply_keys() left scores, values [Keys rounded up to
/// 16, ValueDim] with rows `stride` apart; those past Keys must be finite.
template <class T, int ValueDim, int Keys>
__device__ inline void multiply_values(float (&totals)[ValueDim / 8][4],
                                       const float (&weights)[Keys / 8][4], const T* values,
                                       int stride, int used = Keys) {
  if constexpr (sizeof(T) == 4) {
    // As above; weights are the quad's.
    const float* const value = values + lane_id() % 4 * 2;
#pragma unroll
    for (int n = 0; n < Keys / 8; ++n) {
      if (8 * n >= used) break;
#pragma unroll
      for (int k = 0; k < 8; ++k) {
        const int from = lane_id() / 4 * 4 + k / 2;
        const float upper = __shfl_sync(kAllLanes, weights[n][k % 2], from);
        const float lower = __shfl_sync(kAllLanes, weights[n][2 + k % 2], from);
#pragma unroll
        for (int c = 0; c < ValueDim / 8; ++c) {
          const float* const pair = value + (8 * n + k) * stride + 8 * c;
          totals[c][0] += upper * pair[0];
          totals[c][1] += upper * pair[1];
          totals[c][2] += lower * pair[0];
          totals[c][3] += lower * pair[1];
        }
      }
    }
  } else {
#pragma unroll
    for (int k = 0; k < Keys; k += 16) {
      if (k >= used) break;
      // C's layout of two neighbours is A's of one.
      FragmentA<T> a;
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        const int n = k / 8 + r / 2;
        if (n < Keys / 8) {
          set_part(a, r, weights[n][2 * (r % 2)], weights[n][2 * (r % 2) + 1]);
        } else {
          set_part(a, r, 0.0F, 0.0F);
        }
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
}

/// A warp's 16 rows: of Q K^T with Dim columns, summed over ValueDim columns of V. Scores are
/// scaled by the multiply-add that makes the exponent.
template <class T, int Dim, int ValueDim, int Keys>
struct Flash {
  float totals[ValueDim / 8][4];
  float highest[2];  ///< scaled, of rows g and g + 8, so far
  float sums[2];     ///< of this lane's columns only
  float scale;

  __device__ void begin(float positive_scale = 1) {
    scale = positive_scale;
#pragma unroll
    for (int n = 0; n < ValueDim / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) totals[n][i] = 0;
    }
    highest[0] = highest[1] = -INFINITY;
    sums[0] = sums[1] = 0;
  }

  /// Softmax and values of one chunk of keys; masked scores are -inf. `Only`: there are no others,
  /// and each row has a key.
  template <bool Only = false>
  __device__ void add_scores(float (&scores)[Keys / 8][4], const T* values, int value_stride,
                             int used = Keys) {
    constexpr float kLog2E = 1.44269504F;
    float most[2] = {scores[0][0], scores[0][2]};
#pragma unroll
    for (int n = 0; n < Keys / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) most[i / 2] = fmaxf(most[i / 2], scores[n][i]);
    }
    float origin[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const float before = highest[r];
      highest[r] = fmaxf(before, group_max<4>(most[r]) * scale);
      // Where all keys so far are masked there is nothing to correct.
      origin[r] = !Only && highest[r] == -INFINITY ? 0.0F : highest[r] * kLog2E;
      if (Only) continue;
      const float correction = power_of_two(fmaf(before, kLog2E, -origin[r]));
      sums[r] *= correction;
#pragma unroll
      for (int n = 0; n < ValueDim / 8; ++n) {
        totals[n][2 * r] *= correction;
        totals[n][2 * r + 1] *= correction;
      }
    }
#pragma unroll
    for (int n = 0; n < Keys / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        scores[n][i] = power_of_two(fmaf(scores[n][i], scale * kLog2E, -origin[i / 2]));
        sums[i / 2] += scores[n][i];
      }
    }
    multiply_values<T, ValueDim, Keys>(totals, scores, values, value_stride, used);
  }

  /// One chunk of keys. score(row, key, product) biases and masks.
  template <class Score>
  __device__ void add(const T* queries, const T* keys, const T* values, int value_stride,
                      const Score& score) {
    const int g = lane_id() / 4;
    const int t = lane_id() % 4;
    float scores[Keys / 8][4];
    multiply_keys<T, Dim, Keys>(scores, queries, keys);
#pragma unroll
    for (int n = 0; n < Keys / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        scores[n][i] = score(g + 8 * (i / 2), 8 * n + 2 * t + i % 2, scores[n][i]);
      }
    }
    add_scores(scores, values, value_stride);
  }

  /// Sums over the quad's columns; then totals / sum(r) is the answer.
  __device__ void finish() {
    sums[0] = group_sum<4>(sums[0]);
    sums[1] = group_sum<4>(sums[1]);
  }
  __device__ float share(int r) const { return sums[r] > 0 ? __fdividef(1.0F, sums[r]) : 0.0F; }
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
