#include <algorithm>
#include <string>

#include "image/container.h"

namespace itemcrop::image {
namespace {

// Marker codes of ITU-T T.81, table B.1.
constexpr std::uint8_t kStartOfImage = 0xD8;
constexpr std::uint8_t kEndOfImage = 0xD9;
constexpr std::uint8_t kStartOfScan = 0xDA;

bool is_start_of_frame(std::uint8_t marker) noexcept {
  return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
}

/// Restart markers and TEM stand alone; every other one is followed by a length.
bool stands_alone(std::uint8_t marker) noexcept {
  return (marker >= 0xD0 && marker <= 0xD7) || marker == 0x01 || marker == kStartOfImage;
}

/// The next marker code, skipping entropy-coded data, stuffed zeros and fill bytes; 0 at the end.
std::uint8_t next_marker(ByteReader& reader) {
  while (reader.remaining() >= 2) {
    const Bytes rest = reader.take(reader.remaining());
    const auto at = std::find(rest.begin(), rest.end(), std::byte{0xFF});
    reader.seek(reader.position() - static_cast<std::size_t>(rest.end() - at));
    if (reader.remaining() < 2) break;
    reader.skip(1);
    const std::uint8_t code = reader.u8();
    if (code == 0xFF) reader.seek(reader.position() - 1);
    if (code != 0x00 && code != 0xFF) return code;
  }
  return 0;
}

}  // namespace

Container open_jpeg(Bytes bytes, const Limits& limits) {
  ByteReader reader(bytes, "JPEG");
  reader.skip(2);
  bool sized = false;
  int scans = 0;
  for (std::uint8_t marker = next_marker(reader); marker != 0; marker = next_marker(reader)) {
    if (marker == kEndOfImage) break;
    if (stands_alone(marker)) continue;
    // After the frame header a short tail is the decoder's to judge.
    if (sized && reader.remaining() < 2) break;
    const std::uint64_t length = reader.big<2>();
    const std::size_t segment = reader.position();
    if (is_start_of_frame(marker)) {
      reader.skip(1);  // sample precision
      const std::uint64_t height = reader.big<2>();
      const std::uint64_t width = reader.big<2>();
      check_dimensions(width, height, limits);
      sized = true;
    }
    if (marker == kStartOfScan) {
      // Each scan of a progressive file is a pass over the whole image for a few bytes of input.
      if (++scans > limits.max_jpeg_scans) {
        throw Error(ErrorCode::kLimitExceeded, "the JPEG image has more than " +
                                                   std::to_string(limits.max_jpeg_scans) +
                                                   " scans (max_jpeg_scans)");
      }
    }
    if (length < 2) {
      throw Error(ErrorCode::kCorruptImage, "the JPEG image has a segment of length " +
                                                std::to_string(length) + "; the least is 2");
    }
    if (sized && length - 2 > bytes.size() - segment) break;
    reader.seek(segment + length - 2);
  }
  if (!sized) {
    throw Error(ErrorCode::kCorruptImage, "the JPEG image ends before its frame header");
  }
  Container container;
  container.format = SourceFormat::kJpeg;
  container.bytes = bytes;
  return container;
}

}  // namespace itemcrop::image
