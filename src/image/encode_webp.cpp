#include "image/encode_webp.h"

#include <memory>
#include <string>

#include <webp/encode.h>

#include "itemcrop/error.h"

#include "core/stop.h"

namespace itemcrop::image {
namespace {

/// Called for every percent or so; 0 ends the encoder.
int goes_on(int /*percent*/, const WebPPicture* picture) {
  return static_cast<const std::stop_token*>(picture->user_data)->stop_requested() ? 0 : 1;
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
  WebPPicture picture;
  if (WebPConfigPreset(&config, WEBP_PRESET_DEFAULT, static_cast<float>(quality)) == 0 ||
      WebPPictureInit(&picture) == 0) {
    throw Error(ErrorCode::kInternal, "libwebp is of another version than its headers");
  }
  const std::unique_ptr<WebPPicture, void (*)(WebPPicture*)> pixels(&picture, WebPPictureFree);
  WebPMemoryWriter writer;
  WebPMemoryWriterInit(&writer);
  const std::unique_ptr<WebPMemoryWriter, void (*)(WebPMemoryWriter*)> written(
      &writer, WebPMemoryWriterClear);
  picture.width = view.width;
  picture.height = view.height;
  picture.writer = WebPMemoryWrite;
  picture.custom_ptr = &writer;
  picture.progress_hook = goes_on;
  picture.user_data = const_cast<std::stop_token*>(&stop);
  const bool encoded =
      WebPPictureImportRGB(&picture, view.pixels, static_cast<int>(view.stride())) != 0 &&
      WebPEncode(&config, &picture) != 0;
  if (!encoded) {
    throw_if_stopped(stop);
    fail(view, picture.error_code);
  }
  const auto* const begin = reinterpret_cast<const std::byte*>(writer.mem);
  return {begin, begin + writer.size};
}

}  // namespace itemcrop::image
