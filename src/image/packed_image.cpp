#include "image/packed_image.h"

#include <string>

#include "itemcrop/error.h"

namespace itemcrop::image {

void require_pixels(const ImageView& view) {
  if (view.pixels != nullptr && view.width >= 1 && view.height >= 1) return;
  throw Error(ErrorCode::kInvalidArgument, "the image is empty (" + std::to_string(view.width) +
                                               " x " + std::to_string(view.height) + ")");
}

PackedImage::PackedImage(const ImageView& view) {
  require_pixels(view);
  const std::size_t row = std::size_t{3} * static_cast<std::size_t>(view.width);
  const std::size_t size = row * static_cast<std::size_t>(view.height);
  const std::uint8_t* pixels = view.pixels;
  if (static_cast<std::size_t>(view.stride()) != row) {
    rows_.reserve(size);
    for (int y = 0; y < view.height; ++y) {
      const std::uint8_t* const start = view.pixels + y * view.stride();
      rows_.insert(rows_.end(), start, start + row);
    }
    pixels = rows_.data();
  }
  const VipsImagePtr raw(
      vips_image_new_from_memory(pixels, size, view.width, view.height, 3, VIPS_FORMAT_UCHAR));
  image_ = run_vips([&](VipsImage** out) {
    return vips_copy(raw.get(), out, "interpretation", VIPS_INTERPRETATION_sRGB, nullptr);
  });
  if (!image_) throw Error(ErrorCode::kInternal, "libvips refused the pixels of an image");
}

}  // namespace itemcrop::image
