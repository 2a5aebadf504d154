#include "image/image.h"

namespace itemcrop::image {

std::string_view to_string(SourceFormat format) noexcept {
  switch (format) {
    case SourceFormat::kJpeg:
      return "jpeg";
    case SourceFormat::kPng:
      return "png";
    case SourceFormat::kWebp:
      return "webp";
    case SourceFormat::kTiff:
      return "tiff";
    case SourceFormat::kHeic:
      return "heic";
    case SourceFormat::kAvif:
      return "avif";
    case SourceFormat::kGif:
      return "gif";
  }
  return "unknown";
}

}  // namespace itemcrop::image
