#include <algorithm>
#include <string>

#include "image/container.h"

namespace itemcrop::image {
namespace {

constexpr std::size_t kSignatureSize = 8;

/// Critical chunks start with a capital letter; libpng refuses the ones that it does not know.
bool is_critical(Bytes type) noexcept { return (type[0] & std::byte{0x20}) == std::byte{0}; }

/// Text, time, histogram and animation chunks are left out: libpng inflates compressed text up to
/// 50 MB a chunk before anything could refuse it.
bool is_wanted(Bytes type, std::size_t length, const Limits& limits) {
  if (is_critical(type) || has_text_at(type, 0, "tRNS")) return true;
  if (has_text_at(type, 0, "iCCP") || has_text_at(type, 0, "eXIf")) {
    return length <= limits.max_metadata_bytes;
  }
  return false;
}

}  // namespace

Container open_png(Bytes bytes, const Limits& limits) {
  ByteReader header(bytes, "PNG");
  header.skip(kSignatureSize);
  const std::uint64_t header_length = header.big<4>();
  if (header_length != 13 || !has_text_at(header.take(4), 0, "IHDR")) {
    throw Error(ErrorCode::kCorruptImage, "the PNG image does not start with its header chunk");
  }
  const std::uint64_t width = header.big<4>();
  const std::uint64_t height = header.big<4>();
  check_dimensions(width, height, limits);

  Container container;
  container.format = SourceFormat::kPng;
  container.storage.reserve(bytes.size());
  container.storage.assign(bytes.begin(), bytes.begin() + kSignatureSize);
  ByteReader reader(bytes, "PNG");
  reader.skip(kSignatureSize);
  for (bool ended = false; !ended;) {
    const std::size_t start = reader.position();
    const std::uint64_t length = reader.big<4>();
    const Bytes type = reader.take(4);
    ByteReader data(reader.take(length), "PNG");
    reader.skip(4);  // checksum
    if (has_text_at(type, 0, "acTL")) container.frames = frame_count(data.big<4>());
    if (is_wanted(type, static_cast<std::size_t>(length), limits)) {
      const Bytes chunk = bytes.subspan(start, reader.position() - start);
      container.storage.insert(container.storage.end(), chunk.begin(), chunk.end());
    }
    ended = has_text_at(type, 0, "IEND");
  }
  container.bytes = container.storage;
  return container;
}

}  // namespace itemcrop::image
