#pragma once

#include "backend/cuda/kernels/layout.h"

namespace itemcrop::cuda::kernels {

/// Rows per tile of what runs over all levels' cells: tiles_of(flatten(pyramids), this).
inline constexpr std::int64_t kLevelTileRows = 64;

/// Sine positions of every row and every column of every level, plus that level's embedding.
struct AxisPositionsParams {
  const Grid* levels = nullptr;            ///< flatten(pyramids)
  int level_count = 0;                     ///< levels of one pyramid
  const float* level_embedding = nullptr;  ///< [level_count, d]
  float temperature = 20.0F;
  Matrix y;  ///< [ops::axis_rows(pyramids), d]
};
void launch_axis_positions(Stream stream, const AxisPositionsParams& params);

/// Sine embedding of boxes, order cy, cx, w, h, temperature 10000.
struct BoxPositionsParams {
  Matrix boxes;  ///< kF32 [n, 4]
  int features = 128;
  Matrix y;  ///< [n, 4 * features]
};
void launch_box_positions(Stream stream, const BoxPositionsParams& params);

/// y = sigmoid(delta + logit(clamp(boxes, 1e-5, 1 - 1e-5))). y may be boxes.
struct RefineBoxesParams {
  Matrix delta;  ///< [n, 4], any float type
  Matrix boxes;  ///< kF32
  Matrix y;      ///< kF32
};
void launch_refine_boxes(Stream stream, const RefineBoxesParams& params);

/// y = x, with rows zeroed whose proposal leaves (0.01, 0.99). y may be x.
struct MaskProposalsParams {
  Matrix x, y;
  const Grid* levels = nullptr;
  int level_count = 0;
  const Tile* tiles = nullptr;
  int tile_count = 0;
};
void launch_mask_proposals(Stream stream, const MaskProposalsParams& params);

/// y = sigmoid(delta + logit(proposal of row rows[i])); a masked proposal gives 1.
struct ProposalBoxesParams {
  Matrix delta;  ///< [n, 4], any float type
  Matrix rows;   ///< kI32 [n, 1]
  const Grid* levels = nullptr;
  int level_count = 0;
  int grid_count = 0;  ///< level_count * samples
  Matrix y;            ///< kF32
};
void launch_proposal_boxes(Stream stream, const ProposalBoxesParams& params);

}  // namespace itemcrop::cuda::kernels
