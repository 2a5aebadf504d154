#pragma once

#include "backend/cuda/kernels/layout.h"

namespace itemcrop::cuda::kernels {

/// y = (v - mean(v)) / sqrt(variance(v) + epsilon) * weight + bias with v = x + residual.
/// y may be x or residual. Types of x, residual and y may differ.
struct LayerNormParams {
  Matrix x;
  Matrix residual;  ///< empty: none
  Matrix sum;       ///< empty, or receives v; may be x or residual
  const float* weight = nullptr;
  const float* bias = nullptr;
  float epsilon = 1e-5F;
  Matrix y;
};
void launch_layer_norm(Stream stream, const LayerNormParams& params);

/// Rows per tile of a group norm.
inline constexpr std::int64_t kGroupNormTileRows = 32;

struct GroupNormSegment {
  std::int64_t from = 0;  ///< first row in x
  std::int64_t to = 0;    ///< first row in y
  std::int64_t rows = 0;
  std::int32_t first_tile = 0;
  std::int32_t tiles = 0;
};

/// Group norm over each segment's rows and each group's channels. plan_group_norm() makes segments
/// and tiles. x and y may have different types; y must not overlap x unless it is x with from = to.
struct GroupNormParams {
  Matrix x;
  Matrix y;
  const GroupNormSegment* segments = nullptr;
  int segment_count = 0;
  const Tile* tiles = nullptr;
  int tile_count = 0;
  int groups = 32;
  const float* weight = nullptr;
  const float* bias = nullptr;
  float epsilon = 1e-5F;
  float* workspace = nullptr;  ///< GroupNormPlan::workspace_bytes
};
void launch_group_norm(Stream stream, const GroupNormParams& params);

}  // namespace itemcrop::cuda::kernels
