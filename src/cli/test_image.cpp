#include "cli/test_image.h"

#include <array>
#include <cstddef>
#include <cstdlib>

namespace itemcrop::cli {
namespace {

using Colour = std::array<int, 3>;

constexpr Colour kShirt = {38, 52, 96};
constexpr Colour kTrousers = {92, 84, 70};

bool in_shirt(int x, int y) {
  const bool body = std::abs(x - 240) < 85 && y >= 70 && y < 300;
  const bool sleeve =
      y >= 70 && y < 170 && std::abs(x - 240) < 165 && y - 70 > std::abs(x - 240) - 115;
  const bool neck = std::abs(x - 240) < 30 && y < 95;
  return (body || sleeve) && !neck;
}

bool in_trousers(int x, int y) {
  const int from_middle = std::abs(x - 240);
  return y >= 330 && y < 600 && from_middle < 80 && (y < 400 || from_middle > (y - 400) / 8);
}

/// Floor boards: a soft grain and a seam every 80 columns.
Colour floor_at(int x, int y) {
  const int grain = (x * 7 + y * 3) % 13 + (y / 9 + x / 80) % 5;
  const int seam = x % 80 < 2 ? -40 : 0;
  return {182 + grain + seam, 160 + grain + seam, 132 + grain + seam};
}

}  // namespace

TestImage::TestImage() {
  pixels_.reserve(std::size_t{3} * kWidth * kHeight);
  for (int y = 0; y < kHeight; ++y) {
    for (int x = 0; x < kWidth; ++x) {
      Colour colour = floor_at(x, y);
      const int shade = (x + 2 * y) / 40 % 9;  // folds, so that cloth is not one flat colour
      if (in_shirt(x, y)) colour = {kShirt[0] + shade, kShirt[1] + shade, kShirt[2] + shade};
      if (in_trousers(x, y)) {
        colour = {kTrousers[0] + shade, kTrousers[1] + shade, kTrousers[2] + shade};
      }
      for (const int level : colour) pixels_.push_back(static_cast<std::uint8_t>(level));
    }
  }
}

}  // namespace itemcrop::cli
