#pragma once

#include "backend/cuda/kernels/layout.h"
#include "ops/weights.h"

namespace itemcrop::cuda::kernels {

/// y = norm_after(activation(norm_before(x + more) W^T + b) + residual) in one kernel, for few
/// input channels: where a product waits for memory, norms and sums on its way cost nothing. Meant
/// for Swin's first stages (norm, then queries, keys and values) and deformable layers (query plus
/// position to sampling points; sampled to output, residual and norm). 16-bit types; x, more, W and
/// residual have one type, y has it too or is kF32. y may be x, more or residual.
struct LinearParams {
  Matrix x;
  Matrix more;  ///< [rows, K], or empty
  RowNorm before = {};
  Matrix weight;  ///< [N, K]
  Matrix bias;    ///< [1, N], any float type; empty: zeros
  ops::Activation activation = ops::Activation::kNone;
  Matrix residual;  ///< [rows, N], or empty
  RowNorm after = {};
  Matrix y;
};

/// Whether the launch can do it: K is 64, 96, 128, 192 or 256, N a multiple of 8, rows start at
/// multiples of 16 bytes; a norm after needs N <= K and y of x's type.
bool linear_fits(const LinearParams& params);
void launch_linear(Stream stream, const LinearParams& params);

}  // namespace itemcrop::cuda::kernels
