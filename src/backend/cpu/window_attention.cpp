#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/cpu/executor.h"
#include "backend/cpu/kernels/matmul.h"
#include "backend/cpu/kernels/softmax.h"
#include "backend/cpu/tile.h"
#include "ops/geometry.h"

namespace itemcrop::cpu {
namespace {

using ops::WindowAxis;

constexpr float kMasked = -100.0F;

/// Windows of one map that one task computes.
struct WindowGroup {
  std::size_t grid;
  int first;
  int count;
};

/// What all windows of a call share.
struct WindowParams {
  std::int64_t tokens;  ///< of a window
  std::int64_t padded;  ///< columns of a row of scores: whole vectors
  std::int64_t heads;
  std::int64_t head_dim;
  float scale;
  const float* bias;  ///< [heads, tokens, padded]
};

/// Expands the table of relative positions into a matrix for each head.
void expand_bias(const ops::Constant& table, int window, const WindowParams& params,
                 std::int64_t head, float* bias) {
  float* matrix = bias + head * params.tokens * params.padded;
  for (int q = 0; q < params.tokens; ++q) {
    for (int k = 0; k < params.tokens; ++k) {
      const int dy = q / window - k / window + window - 1;
      const int dx = q % window - k % window + window - 1;
      matrix[q * params.padded + k] =
          table.data()[(dy * (2 * window - 1) + dx) * params.heads + head];
    }
  }
}

/// Tokens of one window: their rows in the map's matrix (-1: padding) and regions.
void place_tokens(const ops::Grid& grid, const WindowAxis& rows, const WindowAxis& columns,
                  int window, std::int64_t* sources, int* regions) {
  const int top = window / columns.windows() * rows.window;
  const int left = window % columns.windows() * columns.window;
  for (int y = top; y < top + rows.window; ++y) {
    for (int x = left; x < left + columns.window; ++x) {
      const int source_y = rows.source(y);
      const int source_x = columns.source(x);
      const bool inside = source_y < rows.size && source_x < columns.size;
      *sources++ =
          inside ? grid.begin + static_cast<std::int64_t>(source_y) * grid.width + source_x : -1;
      *regions++ = rows.region(y) * 3 + columns.region(x);
    }
  }
}

/// Fills mask [tokens, padded] and returns it, or null where the window is of one region.
const float* region_mask(const WindowParams& params, const int* regions, float* mask) {
  if (std::all_of(regions, regions + params.tokens, [&](int r) { return r == *regions; })) {
    return nullptr;
  }
  for (std::int64_t q = 0; q < params.tokens; ++q) {
    for (std::int64_t k = 0; k < params.tokens; ++k) {
      mask[q * params.padded + k] = regions[q] == regions[k] ? 0.0F : kMasked;
    }
  }
  return mask;
}

/// softmax(q k^T * scale + bias + mask) v of one window, head by head, from rows of qkv.
void attend(const WindowParams& params, const float* qkv, const float* mask, float* keys,
            float* scores, float* output) {
  const std::int64_t channels = params.heads * params.head_dim;
  for (std::int64_t head = 0; head < params.heads; ++head) {
    const float* query = qkv + head * params.head_dim;
    kernels::transpose(query + channels, 3 * channels, params.tokens, params.head_dim, keys,
                       params.padded);
    kernels::matmul({.a = query,
                     .a_row_stride = 3 * channels,
                     .b = keys,
                     .b_stride = params.padded,
                     .c = scores,
                     .c_stride = params.padded,
                     .rows = params.tokens,
                     .cols = params.tokens,
                     .inner = params.head_dim});
    kernels::softmax_rows({.x = scores,
                           .stride = params.padded,
                           .rows = params.tokens,
                           .cols = params.tokens,
                           .scale = params.scale,
                           .bias = params.bias + head * params.tokens * params.padded,
                           .bias_stride = params.padded,
                           .mask = mask,
                           .mask_stride = params.padded});
    kernels::matmul({.a = scores,
                     .a_row_stride = params.padded,
                     .b = query + 2 * channels,
                     .b_stride = 3 * channels,
                     .c = output + head * params.head_dim,
                     .c_stride = channels,
                     .rows = params.tokens,
                     .cols = params.head_dim,
                     .inner = params.tokens});
  }
}

}  // namespace

void CpuExecutor::execute(const ops::WindowAttention& op) {
  constexpr std::int64_t kVector = 16;
  const PackedLinear& qkv = packed(*op.weights.qkv);
  const PackedLinear& output = packed(*op.weights.output);
  const std::int64_t channels = op.x.cols;
  const std::int64_t tokens = static_cast<std::int64_t>(op.geometry.window) * op.geometry.window;

  shared_.reset();
  WindowParams params{.tokens = tokens,
                      .padded = (tokens + kVector - 1) / kVector * kVector,
                      .heads = op.geometry.heads,
                      .head_dim = channels / op.geometry.heads,
                      .scale = 0,
                      .bias = nullptr};
  params.scale = 1.0F / std::sqrt(static_cast<float>(params.head_dim));
  auto* bias = shared_.take<float>(params.heads * tokens * params.padded);
  for_tasks(params.heads, [&](std::int64_t head, Workspace&) {
    expand_bias(*op.weights.bias, op.geometry.window, params, head, bias);
  });
  params.bias = bias;

  // Groups are of one map and as wide as a tile. They need no padding: there are few sizes.
  const auto group_size = static_cast<int>(std::max<std::int64_t>(1, kTileRows / tokens));
  std::vector<WindowGroup> groups;
  for (std::size_t g = 0; g < op.grids.size(); ++g) {
    const int windows = WindowAxis(op.grids[g].height, op.geometry).windows() *
                        WindowAxis(op.grids[g].width, op.geometry).windows();
    for (int first = 0; first < windows; first += group_size) {
      groups.push_back({g, first, std::min(group_size, windows - first)});
    }
  }

  for_tasks(static_cast<std::int64_t>(groups.size()), [&](std::int64_t task, Workspace& workspace) {
    const WindowGroup group = groups[static_cast<std::size_t>(task)];
    const ops::Grid& grid = op.grids[group.grid];
    const WindowAxis rows(grid.height, op.geometry);
    const WindowAxis columns(grid.width, op.geometry);
    const std::int64_t count = group.count * tokens;
    auto* sources = workspace.take<std::int64_t>(count);
    auto* regions = workspace.take<int>(count);
    for (int w = 0; w < group.count; ++w) {
      place_tokens(grid, rows, columns, group.first + w, sources + w * tokens,
                   regions + w * tokens);
    }

    const TileBuffer input = take_tile(workspace, count, channels, qkv.operand());
    for (std::int64_t i = 0; i < count; ++i) {
      if (sources[i] < 0) {
        std::fill_n(static_cast<std::byte*>(input.row(i)),
                    static_cast<std::size_t>(channels) * size_of(input.type), std::byte{0});
        continue;
      }
      kernels::RowTransform transform{
          .x = op.x.row<float>(sources[i]), .rows = 1, .cols = channels};
      set_norm(transform, &op.weights.norm);
      kernels::transform_rows(transform, input.type, input.row(i), input.stride);
    }
    const TileBuffer projected =
        multiply(qkv, input, Operand::kF32, ops::Activation::kNone, workspace);

    const TileBuffer attended = take_tile(workspace, count, channels, Operand::kF32);
    auto* keys = workspace.take<float>(params.head_dim * params.padded);
    auto* scores = workspace.take<float>(tokens * params.padded);
    auto* mask = workspace.take<float>(tokens * params.padded);
    for (std::int64_t w = 0; w < group.count; ++w) {
      const std::int64_t first = w * tokens;
      attend(params, projected.floats() + first * projected.stride,
             region_mask(params, regions + first, mask), keys, scores,
             attended.floats() + first * attended.stride);
    }

    const TileBuffer values = as_operand(attended, output.operand(), workspace);
    const TileBuffer delta =
        multiply(output, values, Operand::kF32, ops::Activation::kNone, workspace);
    for (std::int64_t i = 0; i < count; ++i) {
      if (sources[i] < 0) continue;
      float* row = op.x.row<float>(sources[i]);
      const kernels::RowTransform add{
          .x = row, .addend = delta.floats() + i * delta.stride, .rows = 1, .cols = channels};
      kernels::transform_rows(add, Operand::kF32, row, 0);
    }
  });
}

}  // namespace itemcrop::cpu
