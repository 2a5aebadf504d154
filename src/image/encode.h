#pragma once

#include <cstddef>
#include <stop_token>
#include <string_view>
#include <vector>

#include "itemcrop/image.h"

namespace itemcrop::image {

/// Formats crops are written in.
enum class Format { kJpeg, kPng, kWebp };

/// Lower-case name ("jpeg").
std::string_view to_string(Format format) noexcept;
/// File name extension without the dot ("jpg").
std::string_view extension(Format format) noexcept;
/// "image/jpeg".
std::string_view content_type(Format format) noexcept;
/// Accepts "jpeg", "jpg", "png" and "webp"; throws Error(kInvalidArgument) that lists them.
Format parse_format(std::string_view word);

struct EncodeOptions {
  /// JPEG and WebP, 1 to 100. From 90 up JPEG keeps full colour resolution (4:4:4), below it halves
  /// it (4:2:0). PNG is lossless and ignores it.
  int quality = 95;
};

/// Encodes pixels, which are taken to be sRGB. Only the pixels reach the output: no EXIF, profile,
/// comment or other metadata. Throws Error: kInvalidArgument (quality, an empty view),
/// kLimitExceeded (a side over the format's maximum: JPEG 65,500, WebP 16,383), kCancelled (`stop`
/// stopped, also half-way), kInternal.
std::vector<std::byte> encode(const ImageView& view, Format format,
                              const EncodeOptions& options = {}, const std::stop_token& stop = {});

}  // namespace itemcrop::image
