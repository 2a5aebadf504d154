#include "backend/cpu/kernels/deformable.h"

#include <algorithm>
#include <vector>

#include "backend/cpu/executor.h"
#include "backend/cpu/tile.h"
#include "ops/geometry.h"

namespace itemcrop::cpu {
namespace {

kernels::SampleMap sample_map(const ops::DeformableAttention& args, const ops::Pyramid& pyramid) {
  constexpr std::size_t kWidestVector = 16;
  kernels::SampleMap map;
  map.value = args.value.row<float>(pyramid.begin());
  map.cell_stride = args.value.stride;
  map.heads = args.heads;
  map.head_dim = args.value.cols / args.heads;
  map.head_stride = map.head_dim;
  map.samples = static_cast<std::int64_t>(pyramid.levels.size()) * args.points;
  for (const ops::Grid& level : pyramid.levels) {
    const auto points = static_cast<std::size_t>(args.points);
    map.width.insert(map.width.end(), points, static_cast<float>(level.width));
    map.height.insert(map.height.end(), points, static_cast<float>(level.height));
    map.first.insert(map.first.end(), points,
                     static_cast<std::int32_t>(level.begin - pyramid.begin()));
  }
  const std::size_t padded = map.width.size() + kWidestVector;
  map.width.resize(padded, 1.0F);
  map.height.resize(padded, 1.0F);
  map.first.resize(padded, 0);
  return map;
}

kernels::SampleReference cell_centre(const ops::Pyramid& pyramid, std::int64_t cell) {
  for (const ops::Grid& level : pyramid.levels) {
    if (cell < level.rows()) {
      return {
          .x = (static_cast<float>(cell % level.width) + 0.5F) / static_cast<float>(level.width),
          .y = (static_cast<float>(cell / level.width) + 0.5F) / static_cast<float>(level.height)};
    }
    cell -= level.rows();
  }
  return {};
}

kernels::SampleReference box_reference(const float* box, int points) {
  const float share = 0.5F / static_cast<float>(points);
  return {.x = box[0],
          .y = box[1],
          .reach_x = box[2] * share,
          .reach_y = box[3] * share,
          .is_box = true};
}

/// Queries that one task computes: `runs` runs of `length` consecutive rows, `stride` rows apart.
struct QueryTile {
  std::int64_t first = 0;
  std::int64_t length = 0;
  std::int64_t runs = 1;
  std::int64_t stride = 0;
  std::int64_t axis_row = 0;     ///< of cells: where the first run's row is in the axis table
  std::int64_t axis_column = 0;  ///< and each run's first column

  std::int64_t rows() const { return runs * length; }
  std::int64_t row(std::int64_t r) const { return first + r / length * stride + r % length; }
};

/// Rectangles of cells: they sample fewer distinct cells than lines of as many. `axis_begin`: where
/// the pyramid begins in the axis table.
std::vector<QueryTile> cell_tiles(const ops::Pyramid& pyramid, std::int64_t first_query,
                                  std::int64_t axis_begin) {
  constexpr int kHeight = 8;
  constexpr int kWidth = static_cast<int>(CpuExecutor::kTileRows) / kHeight;
  std::vector<QueryTile> tiles;
  for (const ops::Grid& level : pyramid.levels) {
    const std::int64_t begin = first_query + level.begin - pyramid.begin();
    for (int y = 0; y < level.height; y += kHeight) {
      for (int x = 0; x < level.width; x += kWidth) {
        tiles.push_back({begin + static_cast<std::int64_t>(y) * level.width + x,
                         std::min(kWidth, level.width - x), std::min(kHeight, level.height - y),
                         level.width, axis_begin + y, axis_begin + level.height + x});
      }
    }
    axis_begin += ops::axis_rows(level);
  }
  return tiles;
}

/// input = query + position, for the rows of a tile.
void place_queries(const ops::DeformableAttention& args, const QueryTile& tile,
                   const TileBuffer& input, Workspace& workspace) {
  const bool cells = args.reference.empty();
  float* sums = cells ? workspace.take<float>(tile.length * args.query.cols) : nullptr;
  for (std::int64_t r = 0; r < tile.rows(); r += tile.length) {
    const std::int64_t query = tile.row(r);
    kernels::RowTransform add{.x = args.query.row<float>(query),
                              .x_stride = args.query.stride,
                              .rows = tile.length,
                              .cols = args.query.cols};
    if (cells) {
      // A run is of one row of cells and of neighbouring columns.
      const kernels::RowTransform sum{
          .x = args.position.row<float>(tile.axis_column),
          .x_stride = args.position.stride,
          .addend = args.position.row<float>(tile.axis_row + r / tile.length),
          .addend_stride = 0,
          .rows = tile.length,
          .cols = args.query.cols};
      kernels::transform_rows(sum, Operand::kF32, sums, args.query.cols);
      add.addend = sums;
      add.addend_stride = args.query.cols;
    } else {
      add.addend = args.position.row<float>(query);
      add.addend_stride = args.position.stride;
    }
    kernels::transform_rows(add, input.type, input.row(r), input.stride);
  }
}

/// Whether each head's columns are worth a copy of their own: rows of all heads are a power of two
/// apart, so that one head's share of them meets in a few cache sets.
bool worth_packing(std::int64_t queries, std::int64_t cells) { return 2 * queries >= cells; }

}  // namespace

void CpuExecutor::pack_heads(const ops::Matrix& value, const ops::Segment& cells,
                             kernels::SampleMap& map) {
  map.bf16 = bf16_ && map.head_dim % 8 == 0;
  map.cell_stride = map.head_dim;
  map.head_stride = cells.rows * map.head_dim;
  const Operand type = map.bf16 ? Operand::kBf16 : Operand::kF32;
  auto* packed =
      shared_.take_bytes(static_cast<std::size_t>(map.heads * map.head_stride) * size_of(type));
  map.value = packed;
  for_tiles(std::span(&cells, 1), [&](const RowTile& tile, Workspace&) {
    for (std::int64_t head = 0; head < map.heads; ++head) {
      const kernels::RowTransform copy{.x = value.row<float>(tile.begin) + head * map.head_dim,
                                       .x_stride = value.stride,
                                       .rows = tile.rows,
                                       .cols = map.head_dim};
      const std::int64_t first =
          head * map.head_stride + (tile.begin - cells.begin) * map.cell_stride;
      kernels::transform_rows(copy, type, packed + static_cast<std::size_t>(first) * size_of(type),
                              map.cell_stride);
    }
  });
}

void CpuExecutor::execute(const ops::DeformableAttention& op) {
  for (std::size_t sample = 0; sample < op.pyramids.size(); ++sample) {
    const ops::Pyramid& pyramid = op.pyramids[sample];
    kernels::SampleMap map = sample_map(op, pyramid);
    shared_.reset();
    const ops::Segment cells{pyramid.begin(), pyramid.rows()};
    if (worth_packing(op.query_segments[sample].rows, cells.rows)) {
      pack_heads(op.value, cells, map);
    }
    attend_deformably(op, sample, map);
  }
}

void CpuExecutor::attend_deformably(const ops::DeformableAttention& args, std::size_t sample,
                                    const kernels::SampleMap& map) {
  const ops::Pyramid& pyramid = args.pyramids[sample];
  const ops::Segment queries = args.query_segments[sample];
  const bool cells = args.reference.empty();
  const auto attend = [&](const QueryTile& tile, Workspace& workspace) {
    const PackedLinear& sampling = packed(*args.weights->sampling);
    const PackedLinear& output = packed(*args.weights->output);
    const TileBuffer input =
        take_tile(workspace, padded_rows(tile.rows()), args.query.cols, sampling.operand());
    place_queries(args, tile, input, workspace);
    const TileBuffer projection =
        multiply(sampling, input, Operand::kF32, ops::Activation::kNone, workspace);

    auto* references = workspace.take<kernels::SampleReference>(tile.rows());
    for (std::int64_t r = 0; r < tile.rows(); ++r) {
      const std::int64_t query = tile.row(r);
      references[r] = cells ? cell_centre(pyramid, query - queries.begin)
                            : box_reference(args.reference.row<float>(query), args.points);
    }
    const TileBuffer sampled =
        take_tile(workspace, projection.rows, args.value.cols, Operand::kF32);
    kernels::sample_rows(map,
                         {.references = references,
                          .projection = projection.floats(),
                          .projection_stride = projection.stride,
                          .rows = tile.rows(),
                          .y = sampled.floats(),
                          .y_stride = sampled.stride},
                         workspace.take<float>(kernels::sample_scratch(map)));
    const TileBuffer values = as_operand(sampled, output.operand(), workspace);
    const TileBuffer projected =
        multiply(output, values, Operand::kF32, ops::Activation::kNone, workspace);
    for (std::int64_t r = 0; r < tile.rows(); r += tile.length) {
      const std::int64_t query = tile.row(r);
      kernels::RowTransform finish{.x = projected.floats() + r * projected.stride,
                                   .x_stride = projected.stride,
                                   .addend = args.query.row<float>(query),
                                   .addend_stride = args.query.stride,
                                   .rows = tile.length,
                                   .cols = args.query.cols};
      set_norm(finish, &args.weights->norm);
      kernels::transform_rows(finish, Operand::kF32, args.output.row<float>(query),
                              args.output.stride);
    }
  };

  if (cells) {
    const std::vector<QueryTile> tiles =
        cell_tiles(pyramid, queries.begin, ops::axis_rows(args.pyramids.first(sample)));
    for_tasks(static_cast<std::int64_t>(tiles.size()),
              [&](std::int64_t task, Workspace& workspace) {
                attend(tiles[static_cast<std::size_t>(task)], workspace);
              });
  } else {
    for_tiles(std::span(&queries, 1), [&](const RowTile& tile, Workspace& workspace) {
      attend({.first = tile.begin, .length = tile.rows}, workspace);
    });
  }
}

}  // namespace itemcrop::cpu
