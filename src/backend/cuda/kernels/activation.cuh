#pragma once

#include "backend/cuda/kernels/device.cuh"
#include "ops/weights.h"

namespace itemcrop::cuda::kernels {

/// erf to 1.5e-7 (Abramowitz and Stegun 7.1.26): beyond what 16 bits keep, at half of erff's cost.
__device__ inline float quick_erf(float x) {
  const float magnitude = fabsf(x);
  const float t = __fdividef(1.0F, 1.0F + 0.3275911F * magnitude);
  const float series =
      t * (0.254829592F +
           t * (-0.284496736F + t * (1.421413741F + t * (-1.453152027F + t * 1.061405429F))));
  const float result = 1.0F - series * __expf(-magnitude * magnitude);
  return x < 0 ? -result : result;
}

__device__ inline float activated(float x, ops::Activation activation) {
  constexpr float kRootHalf = 0.70710678118654752F;
  if (activation == ops::Activation::kGelu) return 0.5F * x * (1.0F + quick_erf(x * kRootHalf));
  if (activation == ops::Activation::kRelu) return x > 0.0F ? x : 0.0F;
  return x;
}

}  // namespace itemcrop::cuda::kernels
