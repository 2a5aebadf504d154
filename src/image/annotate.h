#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "itemcrop/image.h"

#include "image/image.h"

namespace itemcrop::image {

using Colour = std::array<std::uint8_t, 3>;  ///< sRGB

/// A box to draw.
struct Annotation {
  Box box;            ///< in pixels of the view
  std::string label;  ///< UTF-8 text on one line, drawn as it is; empty: no label
  int colour = 0;     ///< index into the palette, usually the item's; any value, taken modulo
};

struct AnnotateOptions {
  int max_side = 1600;  ///< the image is first shrunk to fit; 0: keep its size
  int line_width = 0;   ///< pixels of the result; 0: chosen from its size
  int text_height = 0;  ///< pixels of the result; 0: chosen from its size
};

/// The colour an Annotation gets, for legends.
Colour palette_colour(int index) noexcept;

/// A copy of the image with boxes and labels over it, later annotations on top. Labels are left
/// out, boxes are not, where libvips cannot draw text. Throws Error(kInvalidArgument) for an empty
/// view or options out of range.
Image annotate(const ImageView& view, std::span<const Annotation> annotations,
               const AnnotateOptions& options = {});

}  // namespace itemcrop::image
