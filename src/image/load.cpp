#include "image/load.h"

#include <string>

namespace itemcrop::image {
namespace {

using BufferLoader = int (*)(void* bytes, std::size_t size, VipsImage** out, ...);

/// The blob-taking call of one format. HEIF chooses its primary picture unless told a page; the
/// others start at their first frame.
BufferLoader loader_of(SourceFormat format) noexcept {
  switch (format) {
    case SourceFormat::kJpeg:
      return vips_jpegload_buffer;
    case SourceFormat::kPng:
      return vips_pngload_buffer;
    case SourceFormat::kWebp:
      return vips_webpload_buffer;
    case SourceFormat::kTiff:
      return vips_tiffload_buffer;
    case SourceFormat::kGif:
      return vips_gifload_buffer;
    case SourceFormat::kHeic:
    case SourceFormat::kAvif:
      return vips_heifload_buffer;
  }
  return nullptr;
}

}  // namespace

VipsImagePtr load(const Container& container) {
  // libvips takes a non-const pointer and only reads.
  void* const bytes = const_cast<std::byte*>(container.bytes.data());
  VipsImagePtr image = run_vips([&](VipsImage** out) {
    return loader_of(container.format)(bytes, container.bytes.size(), out, "access",
                                       VIPS_ACCESS_SEQUENTIAL, "fail_on", VIPS_FAIL_ON_ERROR,
                                       nullptr);
  });
  if (!image) throw damaged(container.format);
  return image;
}

Error damaged(SourceFormat format) {
  const std::string name(to_string(format));
  if (format == SourceFormat::kHeic || format == SourceFormat::kAvif) {
    return Error(ErrorCode::kCorruptImage, "the " + name +
                                               " picture is damaged, truncated or coded in a way "
                                               "that this machine's libheif cannot decode");
  }
  return Error(ErrorCode::kCorruptImage, "the " + name + " picture is damaged or truncated");
}

}  // namespace itemcrop::image
