#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/dtype.h"

namespace itemcrop::ops {

/// A borrowed row-major matrix in a backend's memory. Rows are tokens, columns are channels.
struct Matrix {
  void* data = nullptr;
  DType dtype = DType::kF32;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;  ///< elements from one row to the next, >= cols

  bool empty() const noexcept { return data == nullptr; }

  Matrix row_range(std::int64_t begin, std::int64_t count) const noexcept {
    return {offset(begin * stride), dtype, count, cols, stride};
  }
  Matrix column_range(std::int64_t begin, std::int64_t count) const noexcept {
    return {offset(begin), dtype, rows, count, stride};
  }

  template <class T>
  T* row(std::int64_t r) const noexcept {
    return static_cast<T*>(data) + r * stride;
  }

 private:
  void* offset(std::int64_t elements) const noexcept {
    return static_cast<std::byte*>(data) + elements * static_cast<std::int64_t>(size_of(dtype));
  }
};

/// Consecutive rows of a concatenated matrix that belong to one image or one prompt.
struct Segment {
  std::int64_t begin = 0;
  std::int64_t rows = 0;

  std::int64_t end() const noexcept { return begin + rows; }
};

/// One image's feature map inside a concatenated matrix: rows `begin + y * width + x`.
struct Grid {
  std::int64_t begin = 0;
  int height = 0;
  int width = 0;

  std::int64_t rows() const noexcept { return static_cast<std::int64_t>(height) * width; }
};

/// One image's feature maps of every level, finest first, stored one after another.
struct Pyramid {
  std::vector<Grid> levels;

  std::int64_t begin() const noexcept { return levels.front().begin; }
  std::int64_t rows() const noexcept {
    std::int64_t total = 0;
    for (const Grid& level : levels) total += level.rows();
    return total;
  }
};

/// Row counts of a batch laid end to end.
inline std::vector<Segment> concatenate(std::span<const std::int64_t> rows) {
  std::vector<Segment> segments;
  segments.reserve(rows.size());
  std::int64_t begin = 0;
  for (const std::int64_t count : rows) {
    segments.push_back({begin, count});
    begin += count;
  }
  return segments;
}

}  // namespace itemcrop::ops
