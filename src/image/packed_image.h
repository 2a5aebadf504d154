#pragma once

#include <cstdint>
#include <vector>

#include "itemcrop/image.h"

#include "image/vips_object.h"

namespace itemcrop::image {

/// A view as a VipsImage of sRGB without metadata. Borrows packed pixels; copies the rows of a view
/// that is cut out of a larger image. The view must outlive it.
class PackedImage {
 public:
  /// Throws Error(kInvalidArgument) for an empty view.
  explicit PackedImage(const ImageView& view);

  VipsImage* get() const noexcept { return image_.get(); }

 private:
  std::vector<std::uint8_t> rows_;
  VipsImagePtr image_;
};

/// Throws Error(kInvalidArgument) for a view without pixels.
void require_pixels(const ImageView& view);

}  // namespace itemcrop::image
