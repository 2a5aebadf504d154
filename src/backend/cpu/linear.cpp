#include "backend/cpu/executor.h"
#include "backend/cpu/tile.h"

namespace itemcrop::cpu {
namespace {

/// oneDNN computes rows with gaps between them by another, slow kernel whose sums differ in the
/// last bit; so products only run on rows without gaps.
bool is_dense(const ops::Matrix& matrix) { return matrix.stride == matrix.cols; }

/// A tile of x as a product wants it, in place where x already is.
TileBuffer stage(const ops::Matrix& x, const RowTile& tile, const ops::Norm* norm, Operand type,
                 Workspace& workspace) {
  float* rows = x.row<float>(tile.begin);
  if (norm == nullptr && type == Operand::kF32 && is_dense(x) &&
      padded_rows(tile.rows) == tile.rows) {
    return {rows, x.stride, tile.rows, type};
  }
  const TileBuffer buffer = take_tile(workspace, padded_rows(tile.rows), x.cols, type);
  kernels::RowTransform transform{
      .x = rows, .x_stride = x.stride, .rows = tile.rows, .cols = x.cols};
  set_norm(transform, norm);
  kernels::transform_rows(transform, type, buffer.data, buffer.stride);
  return buffer;
}

/// y = norm(product + residual), both optional.
void finish(const TileBuffer& product, const ops::Matrix& residual, const ops::Norm* norm,
            const RowTile& tile, const ops::Matrix& y) {
  kernels::RowTransform transform{
      .x = product.floats(), .x_stride = product.stride, .rows = tile.rows, .cols = y.cols};
  if (!residual.empty()) {
    transform.addend = residual.row<float>(tile.begin);
    transform.addend_stride = residual.stride;
  }
  set_norm(transform, norm);
  kernels::transform_rows(transform, Operand::kF32, y.row<float>(tile.begin), y.stride);
}

}  // namespace

void CpuExecutor::execute(const ops::Linear& op) {
  const PackedLinear& product = packed(op.weights);
  const bool to_finish =
      !op.options.residual.empty() || op.options.norm_after != nullptr || !is_dense(op.y);
  for_tiles(op.x.rows, [&](const RowTile& tile, Workspace& workspace) {
    const TileBuffer input =
        stage(op.x, tile, op.options.norm_before, product.operand(), workspace);
    if (!to_finish && input.rows == tile.rows) {
      product.multiply({input.data, input.stride, op.y.row<float>(tile.begin), op.y.stride,
                        tile.rows, Operand::kF32, op.options.activation},
                       workspace);
      return;
    }
    const TileBuffer output =
        multiply(product, input, Operand::kF32, op.options.activation, workspace);
    finish(output, op.options.residual, op.options.norm_after, tile, op.y);
  });
}

void CpuExecutor::execute(const ops::FeedForward& op) {
  const PackedLinear& up = packed(*op.weights.up);
  const PackedLinear& down = packed(*op.weights.down);
  for_tiles(op.x.rows, [&](const RowTile& tile, Workspace& workspace) {
    const TileBuffer input = stage(op.x, tile, op.norm_before, up.operand(), workspace);
    const TileBuffer hidden = multiply(up, input, down.operand(), op.weights.activation, workspace);
    const TileBuffer output =
        multiply(down, hidden, Operand::kF32, ops::Activation::kNone, workspace);
    finish(output, op.x, op.norm_after, tile, op.y);
  });
}

}  // namespace itemcrop::cpu
