#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "core/dtype.h"
#include "ops/tensor.h"

namespace itemcrop::cuda {

/// Whether two matrices may share values. Column ranges of one matrix are told apart.
inline bool overlap(const ops::Matrix& a, const ops::Matrix& b) {
  if (a.empty() || b.empty() || a.rows == 0 || b.rows == 0) return false;
  const auto end = [](const ops::Matrix& m) {
    return m.row<std::byte>(0) +
           static_cast<std::size_t>((m.rows - 1) * m.stride + m.cols) * size_of(m.dtype);
  };
  const std::less<const std::byte*> before;
  const std::byte* const first = a.row<std::byte>(0);
  const std::byte* const second = b.row<std::byte>(0);
  if (!before(first, end(b)) || !before(second, end(a))) return false;
  if (a.stride != b.stride || a.dtype != b.dtype) return true;
  // With one distance between rows, columns count alone: those of a, from b's first.
  const auto elements = (first - second) / static_cast<std::ptrdiff_t>(size_of(a.dtype));
  const std::int64_t column = (elements % a.stride + a.stride) % a.stride;
  return column < b.cols || column + a.cols > a.stride;
}

}  // namespace itemcrop::cuda
