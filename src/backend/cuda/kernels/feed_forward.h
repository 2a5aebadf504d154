#pragma once

#include "backend/cuda/kernels/layout.h"
#include "ops/weights.h"

namespace itemcrop::cuda::kernels {

/// y = norm_after(x + activation(norm_before(x) U^T + u) D^T + d) in one kernel: the hidden layer
/// never leaves the chip. Pays where products alone would wait for memory, which is up to about 192
/// channels; 16-bit types only. x, U, D and y have one type; y may be x.
struct FeedForwardParams {
  Matrix x;
  RowNorm before = {};
  Matrix up;       ///< [hidden, C]
  Matrix up_bias;  ///< [1, hidden], any float type; empty: zeros
  ops::Activation activation = ops::Activation::kGelu;
  Matrix down;       ///< [C, hidden]
  Matrix down_bias;  ///< [1, C], any float type; empty: zeros
  RowNorm after = {};
  Matrix y;
};

/// Whether the launch can do it: 16-bit types, 64, 96, 128 or 192 channels, a multiple of 32 hidden
/// ones, and rows that start at multiples of 16 bytes.
bool feed_forward_fits(const FeedForwardParams& params);
void launch_feed_forward(Stream stream, const FeedForwardParams& params);

}  // namespace itemcrop::cuda::kernels
