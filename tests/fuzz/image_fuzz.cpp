// Any bytes, through the whole image boundary: an Error or an image within the limits.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "itemcrop/error.h"

#include "image/decode.h"
#include "image/vips_library.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace itemcrop;
  image::set_vips_threads(1);
  const image::Limits limits{.max_pixels = 1 << 20, .max_jpeg_scans = 20};
  try {
    const image::Image image = image::decode(std::as_bytes(std::span(data, size)), {}, limits);
    if (std::int64_t{image.width()} * image.height() > limits.max_pixels) std::abort();
    // Reads every pixel, so that a memory checker sees one that was never written.
    std::size_t white = 0;
    const std::size_t samples = std::size_t{3} * static_cast<std::size_t>(image.width()) *
                                static_cast<std::size_t>(image.height());
    for (std::size_t i = 0; i < samples; ++i) white += image.view().pixels[i] == 255 ? 1U : 0U;
    if (white > samples) std::abort();
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInternal) std::abort();
  }
  return 0;
}
