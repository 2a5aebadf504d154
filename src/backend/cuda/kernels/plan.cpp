#include "backend/cuda/kernels/plan.h"

#include <algorithm>

#include "ops/geometry.h"
#include "ops/resize.h"

namespace itemcrop::cuda::kernels {
namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

void append_tiles(std::size_t segment, std::int64_t rows, std::int64_t rows_per_tile,
                  std::vector<Tile>& tiles) {
  for (std::int64_t begin = 0; begin < rows; begin += rows_per_tile) {
    tiles.push_back({static_cast<std::int32_t>(segment),
                     static_cast<std::int32_t>(std::min(rows_per_tile, rows - begin)), begin});
  }
}

/// The tables of one edge, appended to the plan's.
void append_edge(const ops::BilinearResize::Edge& edge, int from, int to, ImageEdge& place,
                 std::int32_t& spans_offset, std::int32_t& weights_offset,
                 std::vector<std::int32_t>& tables) {
  place = {.spans = nullptr, .weights = nullptr, .taps = edge.taps, .from = from, .to = to};
  spans_offset = static_cast<std::int32_t>(tables.size());
  for (const auto& span : edge.spans) {
    tables.push_back(span.begin);
    tables.push_back(span.count);
  }
  weights_offset = static_cast<std::int32_t>(tables.size());
  tables.insert(tables.end(), edge.weights.begin(), edge.weights.end());
}

}  // namespace

std::vector<Tile> tiles_of(std::span<const Segment> segments, std::int64_t rows_per_tile) {
  std::vector<Tile> tiles;
  for (std::size_t s = 0; s < segments.size(); ++s) {
    append_tiles(s, segments[s].rows, rows_per_tile, tiles);
  }
  return tiles;
}

std::vector<Tile> tiles_of(std::span<const Grid> grids, std::int64_t rows_per_tile) {
  std::vector<Tile> tiles;
  for (std::size_t g = 0; g < grids.size(); ++g) {
    append_tiles(g, grids[g].rows(), rows_per_tile, tiles);
  }
  return tiles;
}

std::vector<Grid> flatten(std::span<const ops::Pyramid> pyramids) {
  std::vector<Grid> grids;
  for (const ops::Pyramid& pyramid : pyramids) {
    grids.insert(grids.end(), pyramid.levels.begin(), pyramid.levels.end());
  }
  return grids;
}

GroupNormPlan plan_group_norm(std::span<const Segment> from, std::span<const Segment> to,
                              int groups) {
  GroupNormPlan plan;
  for (std::size_t s = 0; s < from.size(); ++s) {
    const auto first_tile = static_cast<std::int32_t>(plan.tiles.size());
    append_tiles(s, from[s].rows, kGroupNormTileRows, plan.tiles);
    plan.segments.push_back({from[s].begin, to[s].begin, from[s].rows, first_tile,
                             static_cast<std::int32_t>(plan.tiles.size()) - first_tile});
  }
  // Mean and centred squares: of each tile, then mean and scale of each segment.
  plan.workspace_bytes = (plan.tiles.size() + plan.segments.size()) *
                         static_cast<std::size_t>(groups) * 2 * sizeof(float);
  return plan;
}

WindowPlan plan_windows(std::span<const Grid> grids, const ops::WindowGeometry& geometry) {
  WindowPlan plan;
  for (const Grid& grid : grids) {
    const ops::WindowAxis rows(grid.height, geometry);
    const ops::WindowAxis columns(grid.width, geometry);
    plan.maps.push_back({grid.begin, grid.height, grid.width, columns.windows(),
                         static_cast<std::int32_t>(plan.windows)});
    plan.windows += static_cast<std::int64_t>(rows.windows()) * columns.windows();
  }
  return plan;
}

FusionPlan plan_fusion(std::span<const Segment> vision, std::span<const Segment> folded,
                       std::int64_t dim, std::int64_t folded_rows, int heads, DType dtype,
                       int multiprocessors, bool hopper) {
  const std::int64_t device_chunks = std::min<std::int64_t>(multiprocessors, kFusionChunks);
  FusionPlan plan;
  std::int64_t partials = 0;
  for (std::size_t s = 0; s < vision.size(); ++s) {
    const std::int64_t rows = vision[s].rows;
    const std::int64_t columns = folded[s].rows;
    const std::int64_t padded = heads * ceil_div(columns / heads, kFusionUnit) * kFusionUnit;
    const bool is_short = padded <= kFusionColumns && fusion_width_fits(dim, dtype);
    // By wgmma a block has two tiles of columns, and every head whole tiles.
    const bool by_tiles = hopper && !is_short && columns > 0 && rows > 0;
    const std::int64_t padded_tokens =
        by_tiles ? ceil_div(columns / heads, kFusionColumns) * kFusionColumns : 0;
    const std::int64_t padded_columns = heads * padded_tokens;
    const std::int64_t columns_at_once = by_tiles ? 2 * kFusionColumns : kFusionColumns;
    const std::int64_t groups =
        is_short ? 1
                 : std::max<std::int64_t>(
                       ceil_div(by_tiles ? padded_columns : columns, columns_at_once), 1);
    const std::int64_t max_chunks = std::max<std::int64_t>(device_chunks / groups, 1);
    const std::int64_t chunk_rows =
        kFusionTileRows *
        std::max<std::int64_t>(ceil_div(ceil_div(rows, kFusionTileRows), max_chunks), 1);
    const std::int64_t chunks = columns == 0 || rows == 0 ? 0 : ceil_div(rows, chunk_rows);
    plan.samples.push_back({vision[s],
                            folded[s],
                            partials,
                            static_cast<std::int32_t>(chunk_rows),
                            static_cast<std::int32_t>(chunks),
                            {plan.padded_rows, padded_columns},
                            static_cast<std::int32_t>(padded_tokens)});
    plan.padded_rows += padded_columns;
    plan.max_padded = std::max(plan.max_padded, padded_columns);
    partials += chunks * columns;
    if (is_short) {
      append_tiles(s, rows, chunk_rows, plan.short_tiles);
    } else if (by_tiles) {
      append_tiles(s, rows, 2 * kFusionTileRows, plan.vision_tiles);
      for (std::int64_t column = 0; column < padded_columns; column += columns_at_once) {
        for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
          const std::int64_t row = chunk * chunk_rows;
          plan.chunks.push_back({static_cast<std::int32_t>(s), static_cast<std::int32_t>(column),
                                 static_cast<std::int32_t>(chunk), static_cast<std::int32_t>(row),
                                 static_cast<std::int32_t>(std::min(chunk_rows, rows - row))});
        }
      }
    } else {
      append_tiles(s, rows, kFusionTileRows, plan.vision_tiles);
      append_tiles(s, rows, chunk_rows, plan.context_tiles);
    }
    plan.max_columns = std::max(plan.max_columns, columns);
  }
  // Keys and values in the vision's type (at most fp32), each rounded up to 16 bytes, then biases
  // of padded keys.
  const std::int64_t key_rows = std::max(folded_rows, plan.padded_rows);
  plan.workspace_bytes =
      static_cast<std::size_t>(2 * (key_rows * dim + 4) + plan.padded_rows) * sizeof(float);
  // Rows rounded up to 16 bytes, with maximum and total before each.
  plan.partial_bytes =
      static_cast<std::size_t>(partials * (ceil_div(dim, 4) * 4 + 4)) * sizeof(float);
  return plan;
}

std::vector<DeformableTile> deformable_cell_tiles(std::span<const ops::Pyramid> pyramids,
                                                  std::span<const Segment> query_segments) {
  constexpr int kEdge = kDeformableTileEdge;
  std::vector<DeformableTile> tiles;
  std::int64_t axis_begin = 0;
  for (std::size_t s = 0; s < pyramids.size(); ++s) {
    std::int64_t begin = query_segments[s].begin;
    for (std::size_t l = 0; l < pyramids[s].levels.size(); ++l) {
      const Grid& level = pyramids[s].levels[l];
      for (int y = 0; y < level.height; y += kEdge) {
        for (int x = 0; x < level.width; x += kEdge) {
          tiles.push_back({begin, static_cast<std::int32_t>(s), static_cast<std::int32_t>(l), x, y,
                           std::min(kEdge, level.width - x), std::min(kEdge, level.height - y),
                           axis_begin});
        }
      }
      begin += level.rows();
      axis_begin += ops::axis_rows(level);
    }
  }
  return tiles;
}

std::vector<DeformableTile> deformable_query_tiles(std::span<const Segment> query_segments) {
  constexpr std::int64_t kQueries = kDeformableTileEdge * kDeformableTileEdge;
  std::vector<DeformableTile> tiles;
  for (std::size_t s = 0; s < query_segments.size(); ++s) {
    const Segment& queries = query_segments[s];
    for (std::int64_t q = 0; q < queries.rows; q += kQueries) {
      const auto count = static_cast<std::int32_t>(std::min(kQueries, queries.rows - q));
      tiles.push_back({queries.begin + q, static_cast<std::int32_t>(s), -1, 0, 0, count, 1});
    }
  }
  return tiles;
}

TopKPlan plan_top_k(std::span<const Segment> segments, std::span<const std::int64_t> counts) {
  TopKPlan plan;
  std::int64_t output = 0;
  for (std::size_t s = 0; s < segments.size(); ++s) {
    plan.segments.push_back({segments[s], output, counts[s]});
    plan.most = std::max(plan.most, counts[s]);
    output += counts[s];
  }
  return plan;
}

ImagePlan plan_image(int from_width, int from_height, const ops::PixelTransform& transform) {
  const ops::BilinearResize resize({from_width, from_height}, {transform.width, transform.height});
  ImagePlan plan;
  Image& image = plan.image;
  append_edge(resize.columns(), from_width, transform.width, image.columns, image.offsets[0],
              image.offsets[1], plan.tables);
  append_edge(resize.rows(), from_height, transform.height, image.rows, image.offsets[2],
              image.offsets[3], plan.tables);
  image.rows_first = resize.rows_first() ? 1 : 0;
  image.patch = transform.patch;
  std::copy_n(transform.scale, 3, image.scale);
  std::copy_n(transform.shift, 3, image.shift);
  const std::int64_t between = resize.rows_first()
                                   ? static_cast<std::int64_t>(transform.height) * from_width
                                   : static_cast<std::int64_t>(from_height) * transform.width;
  plan.workspace_bytes = static_cast<std::size_t>(between) * 3;
  return plan;
}

}  // namespace itemcrop::cuda::kernels
