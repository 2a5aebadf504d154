#include "image/encode.h"

#include <algorithm>
#include <array>
#include <memory>
#include <string>

#include "itemcrop/error.h"

#include "image/encode_webp.h"
#include "image/packed_image.h"
#include "image/vips_library.h"
#include "image/vips_stop.h"

namespace itemcrop::image {
namespace {

struct FormatInfo {
  std::string_view name;
  std::string_view extension;
  std::string_view content_type;
  int max_side;
};

/// In the order of Format. JPEG_MAX_DIMENSION, PNG's 31 bits, WEBP_MAX_DIMENSION.
constexpr std::array<FormatInfo, 3> kFormats = {{
    {"jpeg", "jpg", "image/jpeg", 65'500},
    {"png", "png", "image/png", 0x7FFFFFFF},
    {"webp", "webp", "image/webp", 16'383},
}};

constexpr const FormatInfo& info(Format format) noexcept {
  return kFormats[static_cast<std::size_t>(format)];
}

/// "strip" also keeps libvips from adding an EXIF block of its own.
int save(VipsImage* image, Format format, int quality, void** bytes, std::size_t* size) {
  return format == Format::kPng
             ? vips_pngsave_buffer(image, bytes, size, "strip", TRUE, nullptr)
             : vips_jpegsave_buffer(image, bytes, size, "Q", quality, "strip", TRUE, nullptr);
}

}  // namespace

std::string_view to_string(Format format) noexcept { return info(format).name; }
std::string_view extension(Format format) noexcept { return info(format).extension; }
std::string_view content_type(Format format) noexcept { return info(format).content_type; }

Format parse_format(std::string_view word) {
  for (std::size_t i = 0; i < kFormats.size(); ++i) {
    if (word == kFormats[i].name || word == kFormats[i].extension) return static_cast<Format>(i);
  }
  throw Error(ErrorCode::kInvalidArgument,
              "format is \"" + std::string(word) + "\"; it must be jpeg, png or webp");
}

std::vector<std::byte> encode(const ImageView& view, Format format, const EncodeOptions& options,
                              const std::stop_token& stop) {
  if (options.quality < 1 || options.quality > 100) {
    throw Error(ErrorCode::kInvalidArgument,
                "quality is " + std::to_string(options.quality) + "; it must be 1 to 100");
  }
  if (std::max(view.width, view.height) > info(format).max_side) {
    throw Error(ErrorCode::kLimitExceeded,
                "an image of " + std::to_string(view.width) + " x " + std::to_string(view.height) +
                    " cannot be written as " + std::string(to_string(format)) +
                    ", whose sides end at " + std::to_string(info(format).max_side));
  }
  require_pixels(view);
  if (format == Format::kWebp) return encode_webp(view, options.quality, stop);
  start_vips();
  const PackedImage image(view);
  const VipsStop stopping(image.get(), stop);
  void* bytes = nullptr;
  std::size_t size = 0;
  const int status = save(image.get(), format, options.quality, &bytes, &size);
  const std::unique_ptr<void, void (*)(void*)> owner(bytes, g_free);
  if (status != 0) {
    vips_error_clear();
    throw_if_stopped(stop);
    throw Error(ErrorCode::kInternal,
                "libvips could not write an image of " + std::to_string(view.width) + " x " +
                    std::to_string(view.height) + " as " + std::string(to_string(format)));
  }
  const auto* const written = static_cast<const std::byte*>(bytes);
  return {written, written + size};
}

}  // namespace itemcrop::image
