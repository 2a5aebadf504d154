#include "image/encode_webp.h"

#include <memory>
#include <string>

#include <webp/encode.h>

#include "itemcrop/error.h"

#include "core/stop.h"

namespace itemcrop::image {
namespace {

/// Called for every percent or so; 0 ends the encoder.
int goes_on(int /*percent*/, const WebPPicture* image) {
  return static_cast<const std::stop_token*>(image->user_data)->stop_requested() ? 0 : 1;
}

[[noreturn]] void fail(const ImageView& view, WebPEncodingError code) {
  const std::string what = "libwebp could not write an image of " + std::to_string(view.width) +
                           " x " + std::to_string(view.height);
  const bool memory =
      code == VP8_ENC_ERROR_OUT_OF_MEMORY || code == VP8_ENC_ERROR_BITSTREAM_OUT_OF_MEMORY;
  throw Error(memory ? ErrorCode::kOutOfMemory : ErrorCode::kInternal,
              what + " (error " + std::to_string(code) + ")");
}

}  // namespace

std::vector<std::byte> encode_webp(const ImageView& view, int quality,
                                   const std::stop_token& stop) {
  WebPConfig config;
  WebPPicture image;
  if (WebPConfigPreset(&config, WEBP_PRESET_DEFAULT, static_cast<float>(quality)) == 0 ||
      WebPPictureInit(&image) == 0) {
    throw Error(ErrorCode::kInternal, "libwebp is of another version than its headers");
  }
  const std::unique_ptr<WebPPicture, void (*)(WebPPicture*)> pixels(&image, WebPPictureFree);
  WebPMemoryWriter writer;
  WebPMemoryWriterInit(&writer);
  const std::unique_ptr<WebPMemoryWriter, void (*)(WebPMemoryWriter*)> written(
      &writer, WebPMemoryWriterClear);
  image.width = view.width;
  image.height = view.height;
  image.writer = WebPMemoryWrite;
  image.custom_ptr = &writer;
  image.progress_hook = goes_on;
  image.user_data = const_cast<std::stop_token*>(&stop);
  const bool encoded =
      WebPPictureImportRGB(&image, view.pixels, static_cast<int>(view.stride())) != 0 &&
      WebPEncode(&config, &image) != 0;
  if (!encoded) {
    throw_if_stopped(stop);
    fail(view, image.error_code);
  }
  const auto* const begin = reinterpret_cast<const std::byte*>(writer.mem);
  return {begin, begin + writer.size};
}

}  // namespace itemcrop::image
