#include "image/decode.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "image/colour.h"
#include "image/container.h"
#include "image/decode_memory.h"
#include "image/decoder.h"
#include "image/load.h"
#include "image/vips_library.h"
#include "image/vips_object.h"
#include "image/vips_stop.h"
#include "image/zeroed_heap.h"

namespace itemcrop::image {
namespace {

/// EXIF orientation 1 to 8 undone. Turning needs the whole image; upright ones are left
/// streaming.
VipsImagePtr upright(VipsImagePtr image, const std::stop_token& stop, ImageFacts& facts) {
  const int orientation = vips_image_get_orientation(image.get());
  if (orientation <= 1 || orientation > 8) return image;
  facts.oriented = true;
  const VipsStop stopping(image.get(), stop);
  const VipsImagePtr whole(vips_image_copy_memory(image.get()));
  if (!whole) {
    vips_error_clear();
    return nullptr;
  }
  return run_vips([&](VipsImage** out) { return vips_autorot(whole.get(), out, nullptr); });
}

Image to_image(VipsImage* image, const std::stop_token& stop, const ImageFacts& facts) {
  std::size_t size = 0;
  const VipsStop stopping(image, stop);
  void* const pixels = vips_image_write_to_memory(image, &size);
  if (pixels == nullptr) {
    vips_error_clear();
    throw_if_stopped(stop);
    throw damaged(facts.format);
  }
  return Image(Image::Pixels(static_cast<std::uint8_t*>(pixels), g_free),
               vips_image_get_width(image), vips_image_get_height(image), facts);
}

}  // namespace

struct Decoder::State {
  DecodeOptions options;
  Limits limits;
  std::stop_token stop;
  Container container;
  VipsImagePtr stored;
  ImageFacts facts;

  /// The formats whose decoders hand on memory that they never wrote.
  bool leaks_memory() const noexcept {
    return container.format == SourceFormat::kHeic || container.format == SourceFormat::kAvif;
  }
};

Decoder::Decoder(std::span<const std::byte> bytes, const DecodeOptions& options,
                 const Limits& limits, std::stop_token stop)
    : state_(std::make_unique<State>()) {
  if (bytes.empty()) throw Error(ErrorCode::kInvalidArgument, "the image has no bytes");
  if (bytes.size() > limits.max_bytes) {
    throw Error(ErrorCode::kLimitExceeded, "the image is " + std::to_string(bytes.size()) +
                                               " bytes; the limit is " +
                                               std::to_string(limits.max_bytes) + " (max_bytes)");
  }
  start_vips();
  throw_if_stopped(stop);
  State& state = *state_;
  state.options = options;
  state.limits = limits;
  state.stop = std::move(stop);
  state.container = open_container(bytes, limits);
  std::optional<ZeroedHeap> zeroed;
  if (state.leaks_memory()) zeroed.emplace();
  state.stored = load(state.container, state.stop);
  ImageFacts& facts = state.facts;
  facts.format = state.container.format;
  facts.frames = std::max(state.container.frames, vips_image_get_n_pages(state.stored.get()));
  facts.stored_width = vips_image_get_width(state.stored.get());
  facts.stored_height = vips_image_get_height(state.stored.get());
  // Again: the loader may read another size out of a header than ours did.
  check_dimensions(static_cast<std::uint64_t>(facts.stored_width),
                   static_cast<std::uint64_t>(facts.stored_height), limits);
}

Decoder::~Decoder() = default;

std::int64_t Decoder::peak_bytes() const noexcept {
  return decoding_bytes(state_->stored.get(), state_->container);
}

Image Decoder::decode() {
  State& state = *state_;
  std::optional<ZeroedHeap> zeroed;
  if (state.leaks_memory()) zeroed.emplace();
  const VipsImagePtr image = upright(
      to_srgb(state.stored, state.options, state.limits, state.facts), state.stop, state.facts);
  if (!image) {
    throw_if_stopped(state.stop);
    throw damaged(state.facts.format);
  }
  return to_image(image.get(), state.stop, state.facts);
}

Image decode(std::span<const std::byte> bytes, const DecodeOptions& options, const Limits& limits,
             const std::stop_token& stop) {
  return Decoder(bytes, options, limits, stop).decode();
}

Image decode_file(const std::filesystem::path& path, const DecodeOptions& options,
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
