#pragma once

#include "itemcrop/image.h"

#include "image/image.h"

namespace itemcrop::image {

/// A copy no larger than max_side x max_side (>= 1), proportions kept, never enlarged: for previews
/// and contact sheets. The model's own resize is the engine's. Throws Error(kInvalidArgument).
Image shrink_to_fit(const ImageView& view, int max_side);

}  // namespace itemcrop::image
