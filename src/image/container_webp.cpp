#include <algorithm>
#include <string>

#include "image/container.h"

namespace itemcrop::image {
namespace {

constexpr std::size_t kRiffHeaderSize = 12;
constexpr std::size_t kChunkHeaderSize = 8;
constexpr std::size_t kExtendedHeaderFlags = kRiffHeaderSize + kChunkHeaderSize;

// Feature bits of the VP8X chunk (WebP container specification, "Extended File Format").
constexpr std::byte kProfileFlag{0x20};
constexpr std::byte kExifFlag{0x08};
constexpr std::byte kXmpFlag{0x04};

/// VP8X: canvas; ANMF: frame; VP8 and VP8L: the bitstream itself. All must fit the limits, since a
/// decoder may believe any of them.
void check_declared_size(Bytes type, ByteReader data, const Limits& limits) {
  if (has_text_at(type, 0, "VP8X")) {
    data.skip(4);
    const std::uint64_t width = data.little<3>() + 1;
    check_dimensions(width, data.little<3>() + 1, limits);
  } else if (has_text_at(type, 0, "ANMF")) {
    data.skip(6);
    const std::uint64_t width = data.little<3>() + 1;
    check_dimensions(width, data.little<3>() + 1, limits);
  } else if (has_text_at(type, 0, "VP8 ")) {
    data.skip(6);  // frame tag and start code (RFC 6386 section 9.1)
    const std::uint64_t width = data.little<2>() & 0x3FFF;
    check_dimensions(width, data.little<2>() & 0x3FFF, limits);
  } else if (has_text_at(type, 0, "VP8L")) {
    data.skip(1);  // signature
    const std::uint64_t packed = data.little<4>();
    check_dimensions((packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1, limits);
  }
}

void write_little32(std::vector<std::byte>& bytes, std::size_t at, std::size_t value) {
  for (std::size_t i = 0; i < 4; ++i) {
    bytes[at + i] = static_cast<std::byte>(value >> (8 * i) & 0xFF);
  }
}

/// Which chunks of a file reach libwebp, and the flags that announced the others.
class ChunkFilter {
 public:
  explicit ChunkFilter(const Limits& limits) : limits_(limits) {}

  bool keep(Bytes type, std::size_t length) {
    if (has_text_at(type, 0, "ICCP")) return metadata(kProfileFlag, length);
    if (has_text_at(type, 0, "EXIF")) return metadata(kExifFlag, length);
    if (has_text_at(type, 0, "ANMF")) return frames_++ == 0;
    for (const std::string_view wanted : {"VP8X", "VP8 ", "VP8L", "ALPH", "ANIM"}) {
      if (has_text_at(type, 0, wanted)) return true;
    }
    return false;
  }

  int frames() const noexcept { return frame_count(frames_); }
  std::byte dropped_flags() const noexcept { return dropped_flags_; }

 private:
  bool metadata(std::byte flag, std::size_t length) {
    if (length <= limits_.max_metadata_bytes) return true;
    dropped_flags_ |= flag;
    return false;
  }

  const Limits& limits_;
  std::uint64_t frames_ = 0;
  std::byte dropped_flags_ = kXmpFlag;
};

}  // namespace

Container open_webp(Bytes bytes, const Limits& limits) {
  ByteReader header(bytes, "WebP");
  header.skip(4);
  const std::uint64_t riff_size = header.little<4>();
  ByteReader reader(bytes.first(static_cast<std::size_t>(
                        std::min<std::uint64_t>(riff_size + kChunkHeaderSize, bytes.size()))),
                    "WebP");
  reader.skip(kRiffHeaderSize);

  Container container;
  container.format = SourceFormat::kWebp;
  container.storage.assign(bytes.begin(), bytes.begin() + kRiffHeaderSize);
  ChunkFilter filter(limits);
  while (reader.remaining() >= kChunkHeaderSize) {
    const std::size_t start = reader.position();
    const Bytes type = reader.take(4);
    const std::uint64_t length = reader.little<4>();
    const Bytes data = reader.take(length);
    if (length % 2 != 0 && reader.remaining() > 0) reader.skip(1);
    if (!filter.keep(type, data.size())) continue;
    check_declared_size(type, ByteReader(data, "WebP"), limits);
    const Bytes chunk = bytes.subspan(start, kChunkHeaderSize + data.size());
    container.storage.insert(container.storage.end(), chunk.begin(), chunk.end());
    if (length % 2 != 0) container.storage.push_back(std::byte{0});
  }
  if (riff_size + kChunkHeaderSize > bytes.size()) reader.throw_truncated();
  if (has_text_at(container.storage, kRiffHeaderSize, "VP8X")) {
    container.storage[kExtendedHeaderFlags] &= ~filter.dropped_flags();
  }
  write_little32(container.storage, 4, container.storage.size() - kChunkHeaderSize);
  container.frames = filter.frames();
  container.bytes = container.storage;
  return container;
}

}  // namespace itemcrop::image
