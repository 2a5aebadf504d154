#include "image/crop.h"

namespace itemcrop::image {

std::vector<std::byte> encode_crop(const ImageView& view, const Box& box,
                                   const CropOptions& options) {
  return encode(crop_view(view, box, options.rules()), options.format,
                {.quality = options.quality});
}

}  // namespace itemcrop::image
