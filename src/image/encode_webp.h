#pragma once

#include <cstddef>
#include <stop_token>
#include <vector>

#include "itemcrop/image.h"

namespace itemcrop::image {

/// Lossy WebP without metadata. With libwebp itself, because libvips 8.14 cannot end an encoder
/// that has begun and adds an EXIF block. Throws Error: kCancelled, kInternal, kOutOfMemory.
std::vector<std::byte> encode_webp(const ImageView& view, int quality, const std::stop_token& stop);

}  // namespace itemcrop::image
