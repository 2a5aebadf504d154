#pragma once

#include <cstddef>
#include <vector>

#include "itemcrop/crop.h"
#include "itemcrop/image.h"

#include "image/encode.h"

namespace itemcrop::image {

/// CropRules, and how a crop is written.
struct CropOptions {
  double margin = 0.05;  ///< added on each side, as a share of the box's width or height; 0 to 10
  bool square = false;   ///< extend the shorter side to the longer one
  int min_size = 0;      ///< extend each side to at least this many pixels; 0: as it is
  Format format = Format::kJpeg;
  int quality = 95;  ///< see EncodeOptions::quality

  CropRules rules() const noexcept { return {margin, square, min_size}; }
};

/// Crops and encodes in one go: crop_view, encode.
std::vector<std::byte> encode_crop(const ImageView& view, const Box& box,
                                   const CropOptions& options = {});

}  // namespace itemcrop::image
