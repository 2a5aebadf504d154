#include "image/load.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "core/stop.h"

namespace itemcrop::image {
namespace {

using BufferLoader = int (*)(void* bytes, std::size_t size, VipsImage** out, ...);

/// The blob-taking call of one format. HEIF chooses its primary image unless told a page; the
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

/// Bytes in memory as a source that fails once a token stops. Reading a progressive JPEG or an
/// interlaced PNG is one call of the decoder, which can only be ended from here.
class StoppableSource {
 public:
  StoppableSource(Bytes bytes, std::stop_token stop) : bytes_(bytes), stop_(std::move(stop)) {}

  /// The source owns `self`.
  static VipsSource* open(std::unique_ptr<StoppableSource> self) {
    VipsSourceCustom* const source = vips_source_custom_new();
    StoppableSource* const state = self.release();
    g_object_set_data_full(G_OBJECT(source), "itemcrop", state,
                           [](gpointer owned) { delete static_cast<StoppableSource*>(owned); });
    g_signal_connect(source, "read", G_CALLBACK(read), state);
    g_signal_connect(source, "seek", G_CALLBACK(seek), state);
    return VIPS_SOURCE(source);
  }

 private:
  static gint64 read(VipsSourceCustom*, void* to, gint64 length, StoppableSource* self) {
    if (self->stop_.stop_requested()) return -1;
    const std::size_t count =
        std::min(static_cast<std::size_t>(length), self->bytes_.size() - self->position_);
    std::copy_n(self->bytes_.data() + self->position_, count, static_cast<std::byte*>(to));
    self->position_ += count;
    return static_cast<gint64>(count);
  }

  static gint64 seek(VipsSourceCustom*, gint64 offset, int whence, StoppableSource* self) {
    const auto size = static_cast<gint64>(self->bytes_.size());
    const gint64 from = whence == SEEK_SET   ? 0
                        : whence == SEEK_CUR ? static_cast<gint64>(self->position_)
                                             : size;
    const gint64 position = from + offset;
    if (position < 0 || position > size) return -1;
    self->position_ = static_cast<std::size_t>(position);
    return position;
  }

  Bytes bytes_;
  std::stop_token stop_;
  std::size_t position_ = 0;
};

using SourceLoader = int (*)(VipsSource* source, VipsImage** out, ...);

/// None: the format is decoded strip by strip (TIFF), or its library decodes the whole image in one
/// call that nothing ends: at 50 MP up to 1 s of processor time for GIF, 2 s for WebP and AVIF and
/// 5 s for HEIC (docs/design/threats.md).
SourceLoader source_loader_of(SourceFormat format) noexcept {
  switch (format) {
    case SourceFormat::kJpeg:
      return vips_jpegload_source;
    case SourceFormat::kPng:
      return vips_pngload_source;
    default:
      return nullptr;
  }
}

VipsImagePtr load_bytes(const Container& container) {
  // libvips takes a non-const pointer and only reads.
  void* const bytes = const_cast<std::byte*>(container.bytes.data());
  return run_vips([&](VipsImage** out) {
    return loader_of(container.format)(bytes, container.bytes.size(), out, "access",
                                       VIPS_ACCESS_SEQUENTIAL, "fail_on", VIPS_FAIL_ON_ERROR,
                                       nullptr);
  });
}

VipsImagePtr load_stoppable(SourceLoader loader, const Container& container,
                            const std::stop_token& stop) {
  // The image keeps a reference of its own.
  const std::unique_ptr<VipsSource, void (*)(void*)> source(
      StoppableSource::open(std::make_unique<StoppableSource>(container.bytes, stop)),
      g_object_unref);
  return run_vips([&](VipsImage** out) {
    return loader(source.get(), out, "access", VIPS_ACCESS_SEQUENTIAL, "fail_on",
                  VIPS_FAIL_ON_ERROR, nullptr);
  });
}

}  // namespace

VipsImagePtr load(const Container& container, const std::stop_token& stop) {
  const SourceLoader stoppable =
      stop.stop_possible() ? source_loader_of(container.format) : nullptr;
  VipsImagePtr image =
      stoppable ? load_stoppable(stoppable, container, stop) : load_bytes(container);
  if (!image) {
    throw_if_stopped(stop);
    throw damaged(container.format);
  }
  return image;
}

Error damaged(SourceFormat format) {
  const std::string name(to_string(format));
  if (format == SourceFormat::kHeic || format == SourceFormat::kAvif) {
    return Error(ErrorCode::kCorruptImage, "the " + name +
                                               " image is damaged, truncated or coded in a way "
                                               "that this machine's libheif cannot decode");
  }
  return Error(ErrorCode::kCorruptImage, "the " + name + " image is damaged or truncated");
}

}  // namespace itemcrop::image
