#pragma once

// What the kernels of the folded fusion share.

#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/fusion.h"
#include "backend/cuda/kernels/tile.cuh"

namespace itemcrop::cuda::kernels {

/// Values before a partial sum: maximum, total, nothing.
inline constexpr int kPartialHead = 4;

/// 0 instead of -inf: where all is masked so far, exp() must give zeros.
__device__ inline float origin_of(float highest) { return highest == -INFINITY ? 0.0F : highest; }

template <class T>
struct FusionArgs {
  Block<T> vision;
  View keys, key_bias, values;  ///< kF32
  View context;
  const T* long_keys;  ///< keys and values of long texts in T: [folded rows, d]
  const T* long_values;
  const FusionSample* samples;
  const Tile* tiles;
  int tile_count;
  int heads;
  RowNorm norm;
  const float* output_bias;
  const float* gamma;
  float* partials;
  int multiprocessors;

  /// Values from one partial sum to the next; multiples of 16 bytes.
  __device__ int partial_stride() const { return (vision.cols + 3) / 4 * 4 + kPartialHead; }
  __device__ float* partial(const FusionSample& sample, std::int64_t chunk,
                            std::int64_t column) const {
    return partials +
           (sample.first_partial + chunk * sample.folded.rows + column) * partial_stride();
  }
};

/// Both sides of samples with short texts, but for the merge of partial sums.
void launch_short_fusion(Stream stream, const FusionArgs<Half>& args);
void launch_short_fusion(Stream stream, const FusionArgs<BFloat16>& args);
/// Partial sums of the context of samples with long texts of at most `columns` columns; d as in
/// fusion_width_fits().
void launch_chunk_context(Stream stream, const FusionArgs<Half>& args, std::int64_t columns);
void launch_chunk_context(Stream stream, const FusionArgs<BFloat16>& args, std::int64_t columns);

/// Long texts by wgmma: keys and values padded, and partial sums of the context; then, when nobody
/// needs the rows any more, the vision side. `long_keys` and `long_values` have room for the padded
/// ones.
void launch_hopper_context(Stream stream, const FusionParams& params, const FusionArgs<Half>& args);
void launch_hopper_context(Stream stream, const FusionParams& params,
                           const FusionArgs<BFloat16>& args);
void launch_hopper_vision(Stream stream, const FusionParams& params, const FusionArgs<Half>& args);
void launch_hopper_vision(Stream stream, const FusionParams& params,
                          const FusionArgs<BFloat16>& args);

}  // namespace itemcrop::cuda::kernels
