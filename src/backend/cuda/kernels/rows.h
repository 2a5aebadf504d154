#pragma once

#include "backend/cuda/kernels/layout.h"
#include "ops/weights.h"

/// Ops on rows that stand alone. Types of the matrices of one launch may differ.
namespace itemcrop::cuda::kernels {

/// y = a + b. y may be a or b.
struct AddParams {
  Matrix a, b, y;
  const float* scale = nullptr;  ///< [cols]: y = a + scale * b; null: 1
};
void launch_add(Stream stream, const AddParams& params);

/// y = activation(x + bias) + residual, for what a product's epilogue does not do (cuBLASLt's GELU
/// is the tanh approximation; this one is exact). y may be x or residual.
struct EpilogueParams {
  Matrix x;
  const float* bias = nullptr;  ///< [cols] or null
  ops::Activation activation = ops::Activation::kNone;
  Matrix residual;  ///< or empty
  Matrix y;
};
void launch_epilogue(Stream stream, const EpilogueParams& params);

/// y = x, converted; also for tables (kF32 matrices) and uploads. Integers: both kI32.
struct CopyParams {
  Matrix x, y;  ///< y.rows rows and y.cols columns are copied
};
void launch_copy(Stream stream, const CopyParams& params);

/// y[i] = x[indices[i]].
struct GatherParams {
  Matrix x;
  Matrix indices;  ///< kI32 [n, 1]
  Matrix y;
};
void launch_gather(Stream stream, const GatherParams& params);

/// y[i] = x[i] . vector.
struct DotRowsParams {
  Matrix x;
  const float* vector = nullptr;
  Matrix y;  ///< kF32 [rows, 1]
};
void launch_dot_rows(Stream stream, const DotRowsParams& params);

/// y[i] = words[ids[i]] + positions[position_ids[i]] + types[0]; tables have y.cols columns.
struct EmbedParams {
  const std::int32_t* ids = nullptr;           ///< [y.rows]
  const std::int32_t* position_ids = nullptr;  ///< [y.rows]
  const float* words = nullptr;
  const float* positions = nullptr;
  const float* types = nullptr;
  Matrix y;
};
void launch_embed(Stream stream, const EmbedParams& params);

/// Maps whose 2 x 2 or 3 x 3 neighbourhoods are laid out as rows for a product. Tiles are those of
/// `to`: tiles_of(to, kMergeTileRows or kUnfoldTileRows); x and y may have different types.
inline constexpr std::int64_t kMergeTileRows = 16;
inline constexpr std::int64_t kUnfoldTileRows = 2;  ///< rows of 9 x.cols, and few of them

/// y[to cell] = layer_norm of the 2 x 2 neighbours (0,0), (1,0), (0,1), (1,1) as (row, column),
/// zeros outside. y: [rows of to, 4 * x.cols].
struct PatchMergeParams {
  Matrix x, y;
  const Grid* from = nullptr;
  const Grid* to = nullptr;
  const Tile* tiles = nullptr;
  int tile_count = 0;
  const float* weight = nullptr;
  const float* bias = nullptr;
  float epsilon = 1e-5F;
};
void launch_patch_merge(Stream stream, const PatchMergeParams& params);

/// y[to cell] = the 3 x 3 neighbours of stride 2, padding 1, row by row. y: [rows, 9 * x.cols].
struct UnfoldParams {
  Matrix x, y;
  const Grid* from = nullptr;
  const Grid* to = nullptr;
  const Tile* tiles = nullptr;
  int tile_count = 0;
};
void launch_unfold_3x3_stride2(Stream stream, const UnfoldParams& params);

}  // namespace itemcrop::cuda::kernels
