#include "image/decode.h"

#include <algorithm>
#include <optional>
#include <string>

#include "image/colour.h"
#include "image/container.h"
#include "image/load.h"
#include "image/vips_library.h"
#include "image/vips_object.h"
#include "image/zeroed_heap.h"

namespace itemcrop::image {
namespace {

/// EXIF orientation 1 to 8 undone. Turning needs the whole picture; upright ones are left
/// streaming.
VipsImagePtr upright(VipsImagePtr image, PictureFacts& facts) {
  const int orientation = vips_image_get_orientation(image.get());
  if (orientation <= 1 || orientation > 8) return image;
  facts.oriented = true;
  const VipsImagePtr whole(vips_image_copy_memory(image.get()));
  if (!whole) {
    vips_error_clear();
    return nullptr;
  }
  return run_vips([&](VipsImage** out) { return vips_autorot(whole.get(), out, nullptr); });
}

Picture to_picture(VipsImage* image, const PictureFacts& facts) {
  std::size_t size = 0;
  void* const pixels = vips_image_write_to_memory(image, &size);
  if (pixels == nullptr) {
    vips_error_clear();
    throw damaged(facts.format);
  }
  return Picture(Picture::Pixels(static_cast<std::uint8_t*>(pixels), g_free),
                 vips_image_get_width(image), vips_image_get_height(image), facts);
}

}  // namespace

Picture decode(std::span<const std::byte> bytes, const DecodeOptions& options,
               const Limits& limits) {
  if (bytes.empty()) throw Error(ErrorCode::kInvalidArgument, "the picture has no bytes");
  if (bytes.size() > limits.max_bytes) {
    throw Error(ErrorCode::kLimitExceeded, "the picture is " + std::to_string(bytes.size()) +
                                               " bytes; the limit is " +
                                               std::to_string(limits.max_bytes) + " (max_bytes)");
  }
  start_vips();
  const Container container = open_container(bytes, limits);
  std::optional<ZeroedHeap> zeroed;
  if (container.format == SourceFormat::kHeic || container.format == SourceFormat::kAvif) {
    zeroed.emplace();
  }
  const VipsImagePtr stored = load(container);
  PictureFacts facts;
  facts.format = container.format;
  facts.frames = std::max(container.frames, vips_image_get_n_pages(stored.get()));
  facts.stored_width = vips_image_get_width(stored.get());
  facts.stored_height = vips_image_get_height(stored.get());
  // Again: the loader may read another size out of a header than ours did.
  check_dimensions(static_cast<std::uint64_t>(facts.stored_width),
                   static_cast<std::uint64_t>(facts.stored_height), limits);
  const VipsImagePtr image = upright(to_srgb(stored, options, limits, facts), facts);
  if (!image) throw damaged(facts.format);
  return to_picture(image.get(), facts);
}

Picture decode_file(const std::filesystem::path& path, const DecodeOptions& options,
                    const Limits& limits) {
  const std::vector<std::byte> bytes = read_file(path, limits.max_bytes);
  try {
    return decode(bytes, options, limits);
  } catch (const Error& error) {
    throw Error(error.code(), path.string() + ": " + error.what());
  }
}

bool can_decode(SourceFormat format) {
  start_vips();
  if (format != SourceFormat::kHeic && format != SourceFormat::kAvif) return true;
  return vips_type_find("VipsOperation", "heifload_buffer") != 0;
}

}  // namespace itemcrop::image
