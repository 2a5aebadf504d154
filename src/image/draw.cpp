#include "image/draw.h"

#include <algorithm>

namespace itemcrop::image {
namespace {

std::uint8_t* pixel_at(const Canvas& canvas, int x, int y) noexcept {
  return canvas.pixels + (static_cast<std::ptrdiff_t>(y) * canvas.width + x) * 3;
}

/// Computed in 64 bits, so that no rectangle overflows.
PixelRect clip(const Canvas& canvas, const PixelRect& rect) noexcept {
  const auto end = [](int start, int length, int limit) {
    return static_cast<int>(
        std::clamp<std::int64_t>(std::int64_t{start} + std::max(length, 0), 0, limit));
  };
  const int x = std::clamp(rect.x, 0, canvas.width);
  const int y = std::clamp(rect.y, 0, canvas.height);
  return {x, y, std::max(0, end(rect.x, rect.width, canvas.width) - x),
          std::max(0, end(rect.y, rect.height, canvas.height) - y)};
}

}  // namespace

void fill_rect(const Canvas& canvas, const PixelRect& rect, Colour colour) {
  const PixelRect clipped = clip(canvas, rect);
  for (int y = 0; y < clipped.height; ++y) {
    std::uint8_t* pixel = pixel_at(canvas, clipped.x, clipped.y + y);
    for (int x = 0; x < clipped.width; ++x) pixel = std::copy(colour.begin(), colour.end(), pixel);
  }
}

void outline_rect(const Canvas& canvas, const PixelRect& rect, int line, Colour colour) {
  const int across = std::min(line, rect.width);
  const int down = std::min(line, rect.height);
  fill_rect(canvas, {rect.x, rect.y, rect.width, down}, colour);
  fill_rect(canvas, {rect.x, rect.y + rect.height - down, rect.width, down}, colour);
  fill_rect(canvas, {rect.x, rect.y, across, rect.height}, colour);
  fill_rect(canvas, {rect.x + rect.width - across, rect.y, across, rect.height}, colour);
}

void blend_mask(const Canvas& canvas, int x, int y, const Mask& mask, Colour colour) {
  const PixelRect clipped = clip(canvas, {x, y, mask.width, mask.height});
  for (int row = clipped.y; row < clipped.y + clipped.height; ++row) {
    for (int column = clipped.x; column < clipped.x + clipped.width; ++column) {
      const auto at = static_cast<std::size_t>(row - y) * static_cast<std::size_t>(mask.width) +
                      static_cast<std::size_t>(column - x);
      const int share = mask.coverage[at];
      std::uint8_t* const pixel = pixel_at(canvas, column, row);
      for (std::size_t band = 0; band < 3; ++band) {
        const int blended = pixel[band] * (255 - share) + colour[band] * share;
        pixel[band] = static_cast<std::uint8_t>((blended + 127) / 255);
      }
    }
  }
}

}  // namespace itemcrop::image
