#include "image/decode_memory.h"

#include <cstddef>

namespace itemcrop::image {
namespace {

/// Bytes a pixel that a decoder holds besides the result: `fixed`, and `samples` for every byte of
/// a pixel as stored (bands x 1 or 2).
struct Cost {
  double fixed = 0;
  double samples = 0;
};

// Measured by decode_memory_test in processes of their own, on images of 1 to 9 MP, with libvips
// 8.14, libjpeg-turbo 2.1, libspng 0.7, libwebp 1.2, libtiff 4.5 and libheif 1.15 with libde265 and
// libaom. Bytes a pixel with the result: JPEG 3.6, progressive 9.6; PNG 3.7 to 4.8, interlaced 6.3
// to 11.5; WebP 11.3 to 12.7; TIFF of one tile 11.7, of 16 bits with alpha 19.9; GIF 8.4;
// HEIC 12.3, deep 20.3; AVIF 15.5, deep 22.6.
constexpr Cost kStreamedJpeg = {0.6, 0};
constexpr Cost kProgressiveJpeg = {0.3, 2.1};  // coefficients of 2 bytes
constexpr Cost kStreamedPng = {0.3, 0.3};
constexpr Cost kInterlacedPng = {0.3, 1.1};
constexpr Cost kWebp = {12, 0};
constexpr Cost kTiff = {0.5, 2.8};  // a tile may be larger than the image
constexpr Cost kGif = {5, 0};
constexpr Cost kHeic = {4, 2};
constexpr Cost kAvif = {7, 2.2};

constexpr double kResult = 3;
constexpr double kTurned = 3;  ///< turning an image needs a copy of it
constexpr double kBase = 4e6;  ///< tables, buffers, a thread's stack

bool is_interlaced(VipsImage* image) noexcept {
  for (const char* name : {"interlaced", "jpeg-multiscan"}) {
    int value = 0;
    if (vips_image_get_typeof(image, name) != 0 && vips_image_get_int(image, name, &value) == 0 &&
        value != 0) {
      return true;
    }
  }
  return false;
}

Cost cost_of(VipsImage* stored, const Container& container) noexcept {
  switch (container.format) {
    case SourceFormat::kJpeg:
      return is_interlaced(stored) ? kProgressiveJpeg : kStreamedJpeg;
    case SourceFormat::kPng:
      return is_interlaced(stored) ? kInterlacedPng : kStreamedPng;
    case SourceFormat::kWebp:
      return kWebp;
    case SourceFormat::kTiff:
      return kTiff;
    case SourceFormat::kGif:
      return kGif;
    case SourceFormat::kHeic:
      return kHeic;
    case SourceFormat::kAvif:
      return kAvif;
  }
  return kAvif;
}

}  // namespace

std::int64_t decoding_bytes(VipsImage* stored, const Container& container) noexcept {
  const Cost cost = cost_of(stored, container);
  const double pixels = static_cast<double>(vips_image_get_width(stored)) *
                        static_cast<double>(vips_image_get_height(stored));
  const auto stored_bytes = static_cast<double>(VIPS_IMAGE_SIZEOF_PEL(stored));
  const int orientation = vips_image_get_orientation(stored);
  const double turned = orientation > 1 && orientation <= 8 ? kTurned : 0;
  return static_cast<std::int64_t>(
             kBase + pixels * (kResult + turned + cost.fixed + cost.samples * stored_bytes)) +
         static_cast<std::int64_t>(container.storage.size());
}

}  // namespace itemcrop::image
