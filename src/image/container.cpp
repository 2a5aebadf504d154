#include "image/container.h"

#include <algorithm>
#include <string>

namespace itemcrop::image {
namespace {

/// ISO base media brands of still HEVC and AV1 images and their sequences (ISO/IEC 23008-12
/// annex B, AV1 Image File Format section 8). "mif1" and "msf1" alone name no codec.
std::optional<SourceFormat> sniff_heif(Bytes bytes) noexcept {
  constexpr std::size_t kFirstBrand = 8;
  constexpr std::size_t kMaxBrands = 16;
  if (!has_text_at(bytes, 4, "ftyp")) return std::nullopt;
  std::size_t box_size = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    box_size = box_size << 8 | std::to_integer<std::size_t>(bytes[i]);
  }
  const std::size_t end = std::min({box_size, bytes.size(), kFirstBrand + 4 * kMaxBrands});
  bool generic = false;
  for (std::size_t at = kFirstBrand; at + 4 <= end; at += 4) {
    if (at == kFirstBrand + 4) continue;  // the minor version
    for (const std::string_view brand : {"avif", "avis"}) {
      if (has_text_at(bytes, at, brand)) return SourceFormat::kAvif;
    }
    for (const std::string_view brand : {"heic", "heix", "heim", "heis", "hevc", "hevx"}) {
      if (has_text_at(bytes, at, brand)) return SourceFormat::kHeic;
    }
    generic = generic || has_text_at(bytes, at, "mif1") || has_text_at(bytes, at, "msf1");
  }
  return generic ? std::optional(SourceFormat::kHeic) : std::nullopt;
}

}  // namespace

std::optional<SourceFormat> sniff_format(Bytes bytes) noexcept {
  using namespace std::string_view_literals;
  if (has_text_at(bytes, 0, "\xFF\xD8\xFF"sv)) return SourceFormat::kJpeg;
  if (has_text_at(bytes, 0, "\x89PNG\r\n\x1A\n"sv)) return SourceFormat::kPng;
  if (has_text_at(bytes, 0, "RIFF") && has_text_at(bytes, 8, "WEBP")) return SourceFormat::kWebp;
  if (has_text_at(bytes, 0, "GIF87a") || has_text_at(bytes, 0, "GIF89a")) {
    return SourceFormat::kGif;
  }
  for (const std::string_view magic : {"II*\0"sv, "MM\0*"sv, "II+\0"sv, "MM\0+"sv}) {
    if (has_text_at(bytes, 0, magic)) return SourceFormat::kTiff;
  }
  return sniff_heif(bytes);
}

void check_dimensions(std::uint64_t width, std::uint64_t height, const Limits& limits) {
  const std::string size = std::to_string(width) + " x " + std::to_string(height);
  if (width == 0 || height == 0) {
    throw Error(ErrorCode::kCorruptImage, "the image declares an empty size of " + size);
  }
  const auto max_side = static_cast<std::uint64_t>(std::max(limits.max_side, 0));
  if (width > max_side || height > max_side) {
    throw Error(ErrorCode::kLimitExceeded, "the image declares " + size +
                                               " pixels; the limit for a side is " +
                                               std::to_string(limits.max_side) + " (max_side)");
  }
  // Sides fit 31 bits here, so the product fits 64.
  if (width * height > static_cast<std::uint64_t>(std::max<std::int64_t>(limits.max_pixels, 0))) {
    throw Error(ErrorCode::kLimitExceeded,
                "the image declares " + size + " = " + std::to_string(width * height) +
                    " pixels; the limit is " + std::to_string(limits.max_pixels) + " (max_pixels)");
  }
}

int frame_count(std::uint64_t declared) noexcept {
  return static_cast<int>(std::clamp<std::uint64_t>(declared, 1, kMaxCountedFrames));
}

Container open_container(Bytes bytes, const Limits& limits) {
  const std::optional<SourceFormat> format = sniff_format(bytes);
  if (!format) {
    throw Error(ErrorCode::kUnsupportedImage,
                "the data is not a JPEG, PNG, WebP, TIFF, GIF, HEIC or AVIF image");
  }
  switch (*format) {
    case SourceFormat::kJpeg:
      return open_jpeg(bytes, limits);
    case SourceFormat::kPng:
      return open_png(bytes, limits);
    case SourceFormat::kWebp:
      return open_webp(bytes, limits);
    case SourceFormat::kTiff:
      return open_tiff(bytes, limits);
    case SourceFormat::kGif:
      return open_gif(bytes, limits);
    case SourceFormat::kHeic:
    case SourceFormat::kAvif:
      return open_heif(bytes, *format, limits);
  }
  throw Error(ErrorCode::kInternal, "an image format without a parser");
}

}  // namespace itemcrop::image
