#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "ops/tensor.h"

/// Where things lie, the same for every backend that runs on the host.
namespace itemcrop::ops {

/// The windows of a Swin block.
struct WindowGeometry {
  int window = 7;
  int shift = 0;  ///< 0 or window / 2, whatever the map's size (the reference's always_partition)
  int heads = 1;
};

/// Rows of the table of AxisPositions: one for each row of a level, then one for each column.
inline std::int64_t axis_rows(const Grid& level) {
  return std::int64_t{level.height} + level.width;
}

inline std::int64_t axis_rows(std::span<const Pyramid> pyramids) {
  std::int64_t rows = 0;
  for (const Pyramid& pyramid : pyramids) {
    for (const Grid& level : pyramid.levels) rows += axis_rows(level);
  }
  return rows;
}

/// The box that a cell of a pyramid proposes: its centre, and an edge that doubles a level.
struct Proposal {
  float x, y, edge;

  bool valid() const {
    const auto within = [](float value) { return value > 0.01F && value < 0.99F; };
    return within(x) && within(y) && within(edge);
  }
};

inline Proposal proposal_of(const Grid& level, std::size_t level_index, std::int64_t cell) {
  const std::int64_t row = cell / level.width;
  return {(static_cast<float>(cell - row * level.width) + 0.5F) / static_cast<float>(level.width),
          (static_cast<float>(row) + 0.5F) / static_cast<float>(level.height),
          std::ldexp(0.05F, static_cast<int>(level_index))};
}

inline Proposal proposal_of_row(std::span<const Pyramid> pyramids, std::int64_t row) {
  for (const Pyramid& pyramid : pyramids) {
    for (std::size_t l = 0; l < pyramid.levels.size(); ++l) {
      const Grid& level = pyramid.levels[l];
      if (row >= level.begin && row < level.begin + level.rows()) {
        return proposal_of(level, l, row - level.begin);
      }
    }
  }
  return {};
}

/// One axis of a map, padded to whole windows and rolled back by `shift`.
struct WindowAxis {
  WindowAxis(int extent, const WindowGeometry& geometry)
      : size(extent),
        window(geometry.window),
        shift(geometry.shift),
        padded((extent + geometry.window - 1) / geometry.window * geometry.window) {}

  int windows() const { return padded / window; }
  /// Place in the map of a rolled place; >= size in the padding.
  int source(int rolled) const { return (rolled + shift) % padded; }
  /// Rolled places of different regions were not neighbours before the roll.
  int region(int rolled) const {
    if (shift == 0) return 0;
    return (rolled >= padded - window ? 1 : 0) + (rolled >= padded - shift ? 1 : 0);
  }

  int size, window, shift, padded;
};

}  // namespace itemcrop::ops
