#pragma once

#include "itemcrop/image.h"

namespace itemcrop {

/// Whole pixels: columns [x, x + width), rows [y, y + height).
struct PixelRect {
  int x = 0;       ///< first column
  int y = 0;       ///< first row
  int width = 0;   ///< columns
  int height = 0;  ///< rows

  /// Whether both are the same pixels.
  friend bool operator==(const PixelRect&, const PixelRect&) = default;
};

/// How much around a box its crop shows. The defaults are those of the command line and the
/// service.
struct CropRules {
  double margin = 0.05;  ///< added on each side, as a share of the box's width or height; 0 to 10
  bool square = false;   ///< extend the shorter side to the longer one
  int min_size = 0;      ///< extend each side to at least this many pixels; 0: as it is
};

/// Where to crop a box out of a width x height image. The box grows by the margin, is rounded
/// outwards to whole pixels and clipped to the image. `square` and `min_size` then grow it about
/// its centre, shifting it where it would leave the image; a side never exceeds the image's, so
/// near-square is the most that a long thin image gives. Nothing is ever padded.
/// Throws Error(kInvalidArgument) for rules out of range, and for a box that is not finite,
/// reversed or wholly outside the image.
PixelRect crop_rect(const Box& box, int width, int height, const CropRules& rules = {});

/// The part of an image under `rect`, without a copy: it borrows the image's pixels.
/// Throws Error(kInvalidArgument) if it is empty or leaves the image.
ImageView sub_view(const ImageView& image, const PixelRect& rect);

/// A detection's crop, without a copy: the rows of the result are `stride()` bytes apart.
/// Throws as crop_rect and sub_view.
ImageView crop_view(const ImageView& image, const Box& box, const CropRules& rules = {});

}  // namespace itemcrop
