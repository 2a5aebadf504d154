#pragma once

#include <stop_token>

#include "image/container.h"
#include "image/vips_object.h"

namespace itemcrop::image {

/// Opens a reduced file with the loader of its format, never with one that libvips guesses. Pixels
/// are decoded when they are asked for, top to bottom and once; `container` must outlive the image.
/// Damage and truncation fail the decode, and so does a token that stops while a JPEG or PNG is
/// read. Throws Error(kCorruptImage) for an unreadable header.
VipsImagePtr load(const Container& container, const std::stop_token& stop = {});

/// The error that a failed decode of this format means.
Error damaged(SourceFormat format);

}  // namespace itemcrop::image
