#pragma once

#include <cstdint>

#include "backend/cpu/gemm.h"
#include "backend/cpu/kernels/rows.h"
#include "backend/cpu/workspace.h"
#include "ops/weights.h"

namespace itemcrop::cpu {

/// Rows in working memory, in the type a product wants or left by one.
struct TileBuffer {
  void* data = nullptr;
  std::int64_t stride = 0;
  std::int64_t rows = 0;  ///< that products run over
  Operand type = Operand::kF32;

  float* floats() const noexcept { return static_cast<float*>(data); }
  void* row(std::int64_t r) const noexcept {
    return static_cast<std::byte*>(data) + static_cast<std::size_t>(r * stride) * size_of(type);
  }
};

/// Products are compiled for a number of rows; rounding it up keeps those few. Rows of padding hold
/// old values and their results are not read.
constexpr std::int64_t padded_rows(std::int64_t rows) noexcept { return (rows + 15) / 16 * 16; }

inline TileBuffer take_tile(Workspace& workspace, std::int64_t rows, std::int64_t cols,
                            Operand type) {
  const auto bytes = static_cast<std::size_t>(rows * cols) * size_of(type);
  return {workspace.take_bytes(bytes), cols, rows, type};
}

inline void set_norm(kernels::RowTransform& transform, const ops::Norm* norm) noexcept {
  if (norm == nullptr) return;
  transform.norm_weight = norm->weight->data();
  transform.norm_bias = norm->bias->data();
  transform.epsilon = norm->epsilon;
}

/// An fp32 tile as a product wants it: itself, or a rounded copy.
inline TileBuffer as_operand(const TileBuffer& x, Operand type, Workspace& workspace) {
  if (type == Operand::kF32) return x;
  const TileBuffer y = take_tile(workspace, x.rows, x.stride, type);
  const kernels::RowTransform convert{
      .x = x.floats(), .x_stride = x.stride, .rows = x.rows, .cols = x.stride};
  kernels::transform_rows(convert, type, y.data, y.stride);
  return y;
}

/// The product of a tile; `y_type` kF32 or the operand of the product that reads it next.
inline TileBuffer multiply(const PackedLinear& weight, const TileBuffer& x, Operand y_type,
                           ops::Activation activation, Workspace& workspace) {
  const TileBuffer y = take_tile(workspace, x.rows, weight.outputs(), y_type);
  weight.multiply({x.data, x.stride, y.data, y.stride, x.rows, y_type, activation}, workspace);
  return y;
}

inline const PackedLinear& packed(const ops::LinearWeights& linear) noexcept {
  return static_cast<const PackedLinear&>(linear);
}

}  // namespace itemcrop::cpu
