#include "image/image.h"

#include "core/enum_names.h"

namespace itemcrop::image {

std::string_view to_string(SourceFormat format) noexcept {
  static constexpr EnumNames<SourceFormat::kGif> kNames("jpeg", "png", "webp", "tiff", "heic",
                                                        "avif", "gif");
  return kNames[format];
}

}  // namespace itemcrop::image
