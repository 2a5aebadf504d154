#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <stop_token>
#include <vector>

#include "image/image.h"
#include "image/limits.h"

namespace itemcrop::image {

enum class AlphaMode {
  kFlatten,  ///< blend over DecodeOptions::background, as a viewer shows the image
  kDrop,     ///< keep the colours under transparent pixels, as PIL's `convert("RGB")` does
};

struct DecodeOptions {
  /// A cut-out product photo hides arbitrary colours (often black) under its transparent pixels;
  /// flattening on white is what its author saw. kDrop reproduces the reference pipeline.
  AlphaMode alpha = AlphaMode::kFlatten;
  std::array<std::uint8_t, 3> background = {255, 255, 255};  ///< sRGB; kFlatten only
};

/// Decodes JPEG, PNG, WebP, TIFF, GIF and, where libvips has them, HEIC and AVIF to upright 8-bit
/// sRGB. The format is told by magic bytes; names and content types are never looked at. The first
/// frame or page is used. Bytes after the image are ignored.
///
/// Throws Error: kUnsupportedImage (another format, or a kind of samples that is not 8 or 16 bits),
/// kLimitExceeded (names the limit and the value; raised from the header, before any decoding),
/// kCorruptImage (damaged or truncated), kInvalidArgument (no bytes), kCancelled (`stop` stopped,
/// also half-way).
Image decode(std::span<const std::byte> bytes, const DecodeOptions& options = {},
             const Limits& limits = {}, const std::stop_token& stop = {});

/// read_file() and decode(); errors name the path as well.
Image decode_file(const std::filesystem::path& path, const DecodeOptions& options = {},
                  const Limits& limits = {});

/// Reads a file, pipe or device ("/dev/stdin") whole, stopping at `max_bytes`.
/// Throws Error: kNotFound, kLimitExceeded, kInvalidArgument (a folder), kIo.
std::vector<std::byte> read_file(const std::filesystem::path& path, std::size_t max_bytes);

/// True if this build of libvips can decode the format (HEIC and AVIF depend on its plug-ins).
bool can_decode(SourceFormat format);

}  // namespace itemcrop::image
