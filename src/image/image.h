#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "itemcrop/image.h"

namespace itemcrop::image {

/// Formats accepted from outside, told by magic bytes alone.
enum class SourceFormat { kJpeg, kPng, kWebp, kTiff, kHeic, kAvif, kGif };

/// Lower-case name ("jpeg", "avif").
std::string_view to_string(SourceFormat format) noexcept;

/// What the file said about itself before it became upright sRGB.
struct ImageFacts {
  SourceFormat format = SourceFormat::kJpeg;
  int stored_width = 0;   ///< columns as stored, before orientation
  int stored_height = 0;  ///< rows as stored, before orientation
  bool oriented = false;  ///< a stored orientation other than "upright" was applied
  bool had_alpha = false;
  bool had_profile = false;  ///< carried a colour profile (a broken one is ignored)
  int frames = 1;            ///< pages or animation frames in the file; the first one was decoded;
                             ///< counting stops at a million (TIFF: a thousand)
};

/// Owned pixels: interleaved 8-bit sRGB, upright, top row first, rows packed (3 x width bytes).
class Image {
 public:
  /// Pixels with the function that frees them (vips allocates with its own allocator).
  using Pixels = std::unique_ptr<std::uint8_t[], void (*)(void*)>;

  /// Takes `3 * width * height` bytes; width and height are at least 1.
  Image(Pixels pixels, int width, int height, ImageFacts facts) noexcept
      : pixels_(std::move(pixels)), width_(width), height_(height), facts_(facts) {}

  int width() const noexcept { return width_; }
  int height() const noexcept { return height_; }
  const ImageFacts& facts() const noexcept { return facts_; }

  /// Borrowed view, valid while this image lives.
  ImageView view() const noexcept { return {pixels_.get(), width_, height_, 0}; }

  std::uint8_t* pixels() noexcept { return pixels_.get(); }

 private:
  Pixels pixels_;
  int width_;
  int height_;
  ImageFacts facts_;
};

}  // namespace itemcrop::image
