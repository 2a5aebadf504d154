#pragma once

#include <cstdint>
#include <vector>

#include "itemcrop/image.h"

namespace itemcrop::test {

/// An 8-bit RGB image, rows without padding.
struct Image {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> pixels;  ///< [height, width, 3]

  ImageView view() const noexcept { return {pixels.data(), width, height, 0}; }
};

/// An image that follows from (seed, width, height) in integer arithmetic: ramps, blobs and noise.
/// Bit-identical with tests/reference/procedural_image.py, which gives the rule.
Image procedural_image(std::uint64_t seed, int width, int height);

}  // namespace itemcrop::test
