#pragma once

#include <cstdint>
#include <span>

#include "image/annotate.h"
#include "image/crop.h"

namespace itemcrop::image {

/// Writable pixels to draw on; the same layout as ImageView, rows packed. Every call clips.
struct Canvas {
  std::uint8_t* pixels = nullptr;
  int width = 0;
  int height = 0;
};

void fill_rect(const Canvas& canvas, const PixelRect& rect, Colour colour);

/// The border of `rect`, `line` pixels thick, growing inwards.
void outline_rect(const Canvas& canvas, const PixelRect& rect, int line, Colour colour);

/// Coverage 0 (nothing) to 255 (all), row by row.
struct Mask {
  std::span<const std::uint8_t> coverage;
  int width = 0;
  int height = 0;
};

/// Blends `colour` over the canvas where the mask covers it, the mask's corner at (x, y).
void blend_mask(const Canvas& canvas, int x, int y, const Mask& mask, Colour colour);

}  // namespace itemcrop::image
