#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "backend/cuda/kernels/attention.h"
#include "backend/cuda/kernels/deformable.h"
#include "backend/cuda/kernels/fusion.h"
#include "backend/cuda/kernels/image.h"
#include "backend/cuda/kernels/layout.h"
#include "backend/cuda/kernels/norm.h"
#include "backend/cuda/kernels/selection.h"
#include "ops/executor.h"

/// Host helpers that compute what launches expect, so that an executor need not know any tiling.
/// All are cheap (linear in the number of tiles) and pure; upload what they return.
namespace itemcrop::cuda::kernels {

/// Tiles of `rows_per_tile` rows, segment by segment; each segment starts a new tile.
std::vector<Tile> tiles_of(std::span<const Segment> segments, std::int64_t rows_per_tile);
std::vector<Tile> tiles_of(std::span<const Grid> grids, std::int64_t rows_per_tile);

/// All levels of all pyramids in order: entry sample * levels + level.
std::vector<Grid> flatten(std::span<const ops::Pyramid> pyramids);

// Attention.
inline std::vector<Tile> attention_tiles(std::span<const Segment> query_segments) {
  return tiles_of(query_segments, kAttentionTileRows);
}

// Group norm.
struct GroupNormPlan {
  std::vector<Tile> tiles;
  std::vector<GroupNormSegment> segments;
  std::size_t workspace_bytes = 0;
};
GroupNormPlan plan_group_norm(std::span<const Segment> from, std::span<const Segment> to,
                              int groups);

// Window attention.
struct WindowPlan {
  std::vector<WindowMap> maps;
  std::int64_t windows = 0;
};
WindowPlan plan_windows(std::span<const Grid> grids, const ops::WindowGeometry& geometry);

// Folded fusion.
struct FusionPlan {
  std::vector<FusionSample> samples;
  std::vector<Tile> short_tiles;    ///< chunks of the vision segments with short texts
  std::vector<Tile> vision_tiles;   ///< of the vision segments with long texts
  std::vector<Tile> context_tiles;  ///< the same in chunks
  std::int64_t max_columns = 0;     ///< widest sample: heads * tokens
  std::size_t workspace_bytes = 0;
  std::size_t partial_bytes = 0;
  std::vector<FusionChunk> chunks;  ///< these three: see HopperFusion
  std::int64_t padded_rows = 0;
  std::int64_t max_padded = 0;
};
/// `hopper`: long texts are for fusion_hopper.cu.
FusionPlan plan_fusion(std::span<const Segment> vision, std::span<const Segment> folded,
                       std::int64_t dim, std::int64_t folded_rows, int heads, DType dtype,
                       int multiprocessors, bool hopper);

// Deformable sampling. Queries that are the pyramid's own cells are tiled in squares of a level,
// so that neighbours share what they load; others in runs.
std::vector<DeformableTile> deformable_cell_tiles(std::span<const ops::Pyramid> pyramids,
                                                  std::span<const Segment> query_segments);
std::vector<DeformableTile> deformable_query_tiles(std::span<const Segment> query_segments);

// Top-k.
struct TopKPlan {
  std::vector<TopKSegment> segments;
  std::int64_t most = 0;
};
TopKPlan plan_top_k(std::span<const Segment> segments, std::span<const std::int64_t> counts);

// Images: the weights of Pillow's bilinear resize and what an image's two passes need.
struct ImagePlan {
  Image image;                       ///< pointers are null; set them to the uploads below
  std::vector<std::int32_t> tables;  ///< to upload
  std::size_t workspace_bytes = 0;   ///< 8-bit rows between the passes
};
ImagePlan plan_image(int from_width, int from_height, const ops::PixelTransform& transform);

}  // namespace itemcrop::cuda::kernels
