#pragma once

#include "backend/cuda/kernels/layout.h"
#include "ops/weights.h"

namespace itemcrop::cuda::kernels {

/// y = activation(x W^T + b), all fp32, of few rows: the text's side of the model.
struct SmallProduct {
  const float* x = nullptr;       ///< [rows, inputs]
  const float* weight = nullptr;  ///< [outputs, inputs]
  const float* bias = nullptr;    ///< [outputs] or null
  float* y = nullptr;             ///< [rows, outputs]
  std::int64_t x_stride = 0;      ///< elements
  std::int64_t weight_stride = 0;
  std::int64_t y_stride = 0;
  std::int32_t rows = 0;
  std::int32_t outputs = 0;
  std::int32_t inputs = 0;
  std::int32_t relu = 0;
};

/// What one thread block computes: up to kSmallProductRows x kSmallProductOutputs values.
struct SmallProductTile {
  std::int32_t product = 0;
  std::int32_t first_row = 0;
  std::int32_t first_output = 0;
};

inline constexpr std::int32_t kSmallProductRows = 8;
inline constexpr std::int32_t kSmallProductOutputs = 16;

/// Many products in one launch; none may read or write what another writes. A value's sum depends
/// on its row and its weights alone.
struct SmallProductsParams {
  const SmallProduct* products = nullptr;
  const SmallProductTile* tiles = nullptr;
  int tile_count = 0;
};
void launch_small_products(Stream stream, const SmallProductsParams& params);

}  // namespace itemcrop::cuda::kernels
