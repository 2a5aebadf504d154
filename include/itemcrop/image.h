#pragma once

#include <cstddef>
#include <cstdint>

namespace itemcrop {

/// A borrowed image: interleaved 8-bit sRGB, upright, top row first.
///
/// `row_stride` is in bytes and at least `3 * width`; 0 means exactly `3 * width`.
struct ImageView {
  const std::uint8_t* pixels = nullptr;  ///< red, green, blue of the top left pixel first
  int width = 0;                         ///< columns, >= 1
  int height = 0;                        ///< rows, >= 1
  std::ptrdiff_t row_stride = 0;         ///< bytes from a row to the next; 0: rows lie end to end

  /// Bytes from a row to the next, never 0.
  std::ptrdiff_t stride() const noexcept {
    return row_stride != 0 ? row_stride : static_cast<std::ptrdiff_t>(3) * width;
  }
};

/// A box in pixels of the image it was found in; (x0, y0) inclusive, (x1, y1) exclusive,
/// continuous coordinates.
struct Box {
  float x0 = 0;  ///< left
  float y0 = 0;  ///< top
  float x1 = 0;  ///< right
  float y1 = 0;  ///< bottom

  float width() const noexcept { return x1 - x0; }   ///< in pixels
  float height() const noexcept { return y1 - y0; }  ///< in pixels
};

}  // namespace itemcrop
