#include "image/decode_memory.h"

#include <array>
#include <cstddef>

namespace itemcrop::image {
namespace {

/// Bytes a pixel that a decoder holds besides the result: `fixed`, and `samples` for every byte of
/// a pixel as stored (bands x 1 or 2).
struct Cost {
  double fixed = 0;
  double samples = 0;
};

struct FormatCost {
  SourceFormat format;
  Cost streamed;    ///< strip by strip, where the format allows
  Cost interlaced;  ///< progressive JPEG, interlaced PNG: whole
};

// Measured by decode_memory_test on images of 6 to 12 MP with libvips 8.14, libjpeg-turbo 2.1,
// libspng 0.7, libwebp 1.2, libtiff 4.5, libheif 1.15 with libde265 and libaom.
constexpr std::array<FormatCost, 7> kCosts = {{
    {SourceFormat::kJpeg, {0.3, 0}, {0.3, 2.1}},  // coefficients of 2 bytes
    {SourceFormat::kPng, {0.3, 0}, {0.3, 1.1}},
    {SourceFormat::kWebp, {0.3, 1.7}, {0.3, 1.7}},
    {SourceFormat::kTiff, {0.3, 1.1}, {0.3, 1.1}},  // one strip may be the whole image
    {SourceFormat::kHeic, {6, 2.2}, {6, 2.2}},
    {SourceFormat::kAvif, {6, 2.2}, {6, 2.2}},
    {SourceFormat::kGif, {5, 1.1}, {5, 1.1}},
}};

/// Turning an image needs a copy of it.
constexpr double kResult = 3;
constexpr double kTurned = 3;
constexpr double kBase = 2'000'000;  ///< tables, buffers, a thread's stack

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

}  // namespace

std::int64_t decoding_bytes(VipsImage* stored, SourceFormat format) noexcept {
  const FormatCost& costs = kCosts[static_cast<std::size_t>(format)];
  const Cost& cost = is_interlaced(stored) ? costs.interlaced : costs.streamed;
  const double pixels = static_cast<double>(vips_image_get_width(stored)) *
                        static_cast<double>(vips_image_get_height(stored));
  const auto stored_bytes = static_cast<double>(VIPS_IMAGE_SIZEOF_PEL(stored));
  const int orientation = vips_image_get_orientation(stored);
  const double turned = orientation > 1 && orientation <= 8 ? kTurned : 0;
  return static_cast<std::int64_t>(
      kBase + pixels * (kResult + turned + cost.fixed + cost.samples * stored_bytes));
}

}  // namespace itemcrop::image
