#pragma once

#include "backend/cuda/kernels/layout.h"
#include "ops/weights.h"

/// Matrix products whose weights stay in shared memory while rows pass, for what cuBLASLt cannot
/// do: a layer norm in the epilogue, and launches that wait for nothing but their rows.
namespace itemcrop::cuda::kernels {

/// y = f(x W^T + bias + residual) with f an activation or a layer norm of the row, never both. x,
/// weight and residual are of one 16-bit type; sums and statistics are fp32. A row's answer does
/// not depend on the others.
struct RowProductParams {
  Matrix x;
  const void* weight = nullptr;  ///< [y.cols, x.cols]
  std::int64_t weight_stride = 0;
  const float* bias = nullptr;                          ///< [y.cols] or null
  Matrix residual;                                      ///< or empty; may be y
  ops::Activation activation = ops::Activation::kNone;  ///< or kRelu
  RowNorm norm;                                         ///< no weight: none
  /// Of x's type, or kF32 if there is no norm. With a norm it may be x: the same rows, as many
  /// columns.
  Matrix y;
  int multiprocessors = 132;
};

/// Whether the selected device and the code that it runs can do any: compute capability 9.0, built
/// for sm_90a.
bool row_products_work();

/// Whether these can be done by a device that can: shapes that fit shared memory and lie well.
bool fits_row_product(const RowProductParams& params);

/// How many times 64 rows meet the weights of a block.
std::int64_t row_product_blocks(const RowProductParams& params);

void launch_row_product(Stream stream, const RowProductParams& params);

}  // namespace itemcrop::cuda::kernels
