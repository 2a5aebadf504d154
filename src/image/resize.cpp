#include "image/resize.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

#include "itemcrop/error.h"

#include "image/packed_image.h"
#include "image/vips_library.h"

namespace itemcrop::image {

Image shrink_to_fit(const ImageView& view, int max_side) {
  if (max_side < 1) {
    throw Error(ErrorCode::kInvalidArgument,
                "max_side is " + std::to_string(max_side) + "; it must be at least 1");
  }
  start_vips();
  const PackedImage whole(view);
  const int longest = std::max(view.width, view.height);
  VipsImagePtr shrunk;
  if (longest > max_side) {
    // Scales are a hair over the ratio, so that rounding cannot lose the last pixel of a side.
    const auto scale = [&](int side) {
      const double target =
          std::max(1.0, std::round(static_cast<double>(side) * max_side / longest));
      return (target + 1e-6) / side;
    };
    shrunk = run_vips([&](VipsImage** out) {
      return vips_resize(whole.get(), out, scale(view.width), "vscale", scale(view.height),
                         nullptr);
    });
    if (!shrunk) throw Error(ErrorCode::kInternal, "libvips could not shrink an image");
  }
  VipsImage* const result = shrunk ? shrunk.get() : whole.get();
  std::size_t size = 0;
  Image::Pixels pixels(static_cast<std::uint8_t*>(vips_image_write_to_memory(result, &size)),
                       g_free);
  if (!pixels) {
    vips_error_clear();
    throw Error(ErrorCode::kOutOfMemory, "no memory for an image of " +
                                             std::to_string(vips_image_get_width(result)) + " x " +
                                             std::to_string(vips_image_get_height(result)));
  }
  return Image(std::move(pixels), vips_image_get_width(result), vips_image_get_height(result), {});
}

}  // namespace itemcrop::image
