#pragma once

#include <cstdint>

#include <vips/vips.h>

#include "image/container.h"

namespace itemcrop::image {

/// An upper bound of the memory that decoding takes at its peak, the result included, from an image
/// whose header was read. The table behind it was measured; decode_memory_test measures it again.
std::int64_t decoding_bytes(VipsImage* stored, const Container& container) noexcept;

}  // namespace itemcrop::image
