#include <algorithm>
#include <string>

#include "image/container.h"

namespace itemcrop::image {
namespace {

// Block introducers of the GIF89a specification, appendix A.
constexpr std::uint8_t kExtension = 0x21;
constexpr std::uint8_t kImage = 0x2C;
constexpr std::uint8_t kTrailer = 0x3B;
constexpr std::uint8_t kGraphicControl = 0xF9;

std::size_t colour_table_size(std::uint8_t packed) noexcept {
  return (packed & 0x80) != 0 ? std::size_t{3} << ((packed & 0x07) + 1) : 0;
}

void skip_sub_blocks(ByteReader& reader) {
  for (std::uint8_t size = reader.u8(); size != 0; size = reader.u8()) reader.skip(size);
}

/// Reads past an image block whose introducer has been read.
void skip_image(ByteReader& reader, const Limits& limits) {
  const std::uint64_t left = reader.little<2>();
  const std::uint64_t top = reader.little<2>();
  const std::uint64_t width = reader.little<2>();
  const std::uint64_t height = reader.little<2>();
  // A frame that leaves the screen makes the decoder enlarge the screen.
  check_dimensions(left + width, top + height, limits);
  reader.skip(colour_table_size(reader.u8()));
  reader.skip(1);  // LZW code size
  skip_sub_blocks(reader);
}

/// Frames after the first, up to the trailer or the point where the file stops making sense: they
/// are counted, never decoded, so damage there does not matter.
std::uint64_t count_further_frames(ByteReader reader, const Limits& limits) {
  std::uint64_t frames = 0;
  try {
    while (frames < kMaxCountedFrames) {
      const std::uint8_t block = reader.u8();
      if (block == kImage) {
        skip_image(reader, limits);
        ++frames;
      } else if (block == kExtension) {
        reader.skip(1);
        skip_sub_blocks(reader);
      } else {
        break;
      }
    }
  } catch (const Error&) {
    return frames;
  }
  return frames;
}

}  // namespace

Container open_gif(Bytes bytes, const Limits& limits) {
  ByteReader reader(bytes, "GIF");
  reader.skip(6);
  const std::uint64_t width = reader.little<2>();
  const std::uint64_t height = reader.little<2>();
  check_dimensions(width, height, limits);
  const std::uint8_t packed = reader.u8();
  reader.skip(2);  // background colour and aspect ratio
  reader.skip(colour_table_size(packed));

  Container container;
  container.format = SourceFormat::kGif;
  const auto keep_from = [&](std::size_t start) {
    const Bytes block = bytes.subspan(start, reader.position() - start);
    container.storage.insert(container.storage.end(), block.begin(), block.end());
  };
  keep_from(0);
  for (bool found = false; !found;) {
    const std::size_t start = reader.position();
    const std::uint8_t block = reader.u8();
    if (block == kImage) {
      skip_image(reader, limits);
      keep_from(start);
      found = true;
    } else if (block == kExtension) {
      const bool wanted = reader.u8() == kGraphicControl;
      skip_sub_blocks(reader);
      if (wanted) keep_from(start);
    } else {
      throw Error(ErrorCode::kCorruptImage,
                  block == kTrailer ? "the GIF image has no frame"
                                    : "the GIF image has an unknown block before its first frame");
    }
  }
  container.storage.push_back(std::byte{kTrailer});
  container.frames = frame_count(1 + count_further_frames(reader, limits));
  container.bytes = container.storage;
  return container;
}

}  // namespace itemcrop::image
