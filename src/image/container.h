#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "image/byte_reader.h"
#include "image/image.h"
#include "image/limits.h"

namespace itemcrop::image {

/// Counting stops here, so that no file can make it slow.
inline constexpr int kMaxCountedFrames = 1'000'000;

/// A file reduced to what its first image needs, before any decoding library sees it.
///
/// The decoders' own header passes are where small files do large damage: libpng inflates every
/// text chunk, libwebp's demuxer walks a linked list once a frame, libtiff follows every directory.
/// Reading a few header fields here bounds the image first and hands on nothing but the image.
struct Container {
  SourceFormat format = SourceFormat::kJpeg;
  int frames = 1;
  Bytes bytes;                     ///< what to decode: the input, or `storage`
  std::vector<std::byte> storage;  ///< the reduced copy; empty where the input serves as it is

  Container() = default;
  Container(Container&&) = default;  // a moved vector keeps its buffer, so `bytes` stays valid
  Container& operator=(Container&&) = default;
  Container(const Container&) = delete;
  Container& operator=(const Container&) = delete;
  ~Container() = default;
};

/// The format by magic bytes; none if it is not an accepted one.
std::optional<SourceFormat> sniff_format(Bytes bytes) noexcept;

/// Sniffs, checks every size the header declares against `limits` and reduces.
/// Throws Error: kUnsupportedImage, kLimitExceeded, kCorruptImage.
Container open_container(Bytes bytes, const Limits& limits);

/// Throws Error(kLimitExceeded) naming limit and value, or Error(kCorruptImage) for a side of zero.
void check_dimensions(std::uint64_t width, std::uint64_t height, const Limits& limits);

/// A declared number of frames as ImageFacts has it: at least 1, at most kMaxCountedFrames.
int frame_count(std::uint64_t declared) noexcept;

/// One format each; `bytes` start with its magic.
Container open_jpeg(Bytes bytes, const Limits& limits);
Container open_png(Bytes bytes, const Limits& limits);
Container open_webp(Bytes bytes, const Limits& limits);
Container open_tiff(Bytes bytes, const Limits& limits);
Container open_gif(Bytes bytes, const Limits& limits);
Container open_heif(Bytes bytes, SourceFormat format, const Limits& limits);

}  // namespace itemcrop::image
