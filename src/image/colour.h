#pragma once

#include "image/decode.h"
#include "image/vips_object.h"

namespace itemcrop::image {

/// An image of any accepted kind as three 8-bit bands of sRGB: embedded profiles applied (a broken
/// or oversized one is ignored), CMYK and grey converted, 16 bits reduced to 8, alpha flattened or
/// dropped. Nothing is computed yet. Fills had_alpha and had_profile.
/// Throws Error(kUnsupportedImage) for other samples, Error(kCorruptImage).
VipsImagePtr to_srgb(const VipsImagePtr& image, const DecodeOptions& options, const Limits& limits,
                     ImageFacts& facts);

}  // namespace itemcrop::image
