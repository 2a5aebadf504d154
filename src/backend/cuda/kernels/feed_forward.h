#pragma once

#include "backend/cuda/kernels/layout.h"

/// A feed-forward network whose hidden rows never leave the multiprocessor.
namespace itemcrop::cuda::kernels {

/// y = layer_norm(x + relu(x U^T + b) D^T + c). Matrices are of one 16-bit type; sums and
/// statistics are fp32, hidden values are rounded. A row's answer does not depend on the others.
struct FeedForwardParams {
  Matrix x;
  const void* up = nullptr;  ///< U: [hidden, x.cols]
  std::int64_t up_stride = 0;
  const float* up_bias = nullptr;  ///< [hidden]
  const void* down = nullptr;      ///< D: [x.cols, hidden]
  std::int64_t down_stride = 0;
  const float* down_bias = nullptr;  ///< [x.cols]
  std::int64_t hidden = 0;
  RowNorm norm;
  Matrix y;  ///< may be x
  int multiprocessors = 132;
  /// Two blocks read each weight once for both.
  bool pairs = true;
};

/// Whether this can be done where row_products_work().
bool fits_feed_forward(const FeedForwardParams& params);

void launch_feed_forward(Stream stream, const FeedForwardParams& params);

}  // namespace itemcrop::cuda::kernels
