#pragma once

#include <cstddef>
#include <vector>

#include "itemcrop/image.h"

#include "image/encode.h"

namespace itemcrop::image {

/// Whole pixels: columns [x, x + width), rows [y, y + height).
struct PixelRect {
  int x = 0, y = 0, width = 0, height = 0;

  friend bool operator==(const PixelRect&, const PixelRect&) = default;
};

struct CropOptions {
  double margin = 0.05;  ///< added on each side, as a share of the box's width or height; 0 to 10
  bool square = false;   ///< extend the shorter side to the longer one
  int min_size = 0;      ///< extend each side to at least this many pixels; 0: as it is
  Format format = Format::kJpeg;
  int quality = 95;  ///< see EncodeOptions::quality
};

/// Where to cut a box out of a width x height image. The box grows by the margin, is rounded
/// outwards to whole pixels and clipped to the image. `square` and `min_size` then grow it about
/// its centre, shifting it where it would leave the image; a side never exceeds the image's, so
/// near-square is the most that a long thin image gives. Nothing is ever padded.
///
/// Throws Error(kInvalidArgument) for options out of range, a box that is not finite, reversed or
/// wholly outside the image.
PixelRect crop_rect(const Box& box, int width, int height, const CropOptions& options = {});

/// The part of a view under `rect`, without a copy. Throws Error(kInvalidArgument) if it is empty
/// or leaves the view.
ImageView sub_view(const ImageView& view, const PixelRect& rect);

/// Cuts and encodes in one go: crop_rect, sub_view, encode.
std::vector<std::byte> encode_crop(const ImageView& view, const Box& box,
                                   const CropOptions& options = {});

}  // namespace itemcrop::image
