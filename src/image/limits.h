#pragma once

#include <cstddef>
#include <cstdint>

namespace itemcrop::image {

/// What an image from outside may cost. Every limit is checked before the work it bounds starts;
/// a value equal to the limit passes.
struct Limits {
  /// Width x height as declared by the file's header (HEIC and AVIF: of every coded image in it).
  std::int64_t max_pixels = 50'000'000;
  int max_side = 65'500;               ///< width or height; JPEG's maximum, so crops can be written
  std::size_t max_bytes = 20'000'000;  ///< size of the file
  int max_jpeg_scans = 100;  ///< each scan of a progressive JPEG costs a pass over the image
  /// Colour profile and EXIF blocks larger than this are dropped as if absent, each on its own.
  std::size_t max_metadata_bytes = 4'000'000;
};

}  // namespace itemcrop::image
