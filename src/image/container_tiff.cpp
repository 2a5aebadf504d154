#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string>

#include "image/container.h"

namespace itemcrop::image {
namespace {

// Tags of TIFF 6.0 and of Adobe's DNG.
constexpr std::uint64_t kNewSubfileType = 254;
constexpr std::uint64_t kImageWidth = 256;
constexpr std::uint64_t kImageLength = 257;
constexpr std::uint64_t kCompression = 259;
constexpr std::uint64_t kPhotometric = 262;
constexpr std::uint64_t kTileWidth = 322;
constexpr std::uint64_t kTileLength = 323;
constexpr std::uint64_t kDngVersion = 50706;

/// None, CCITT (three kinds), LZW, JPEG, deflate (two numbers), PackBits: what cameras, scanners
/// and editors write. libtiff's many other codecs are not reachable from untrusted files.
constexpr std::array<std::uint64_t, 9> kAcceptedCompression = {1, 2, 3, 4, 5, 7, 8, 32773, 32946};
/// Grey (two ways), RGB, palette, CMYK, YCbCr; the ones left out are raw sensor data, masks, Lab.
constexpr std::array<std::uint64_t, 6> kAcceptedPhotometric = {0, 1, 2, 3, 5, 6};

constexpr int kMaxPages = 1000;

/// One directory's worth of header.
struct Directory {
  std::uint64_t width = 0;
  std::uint64_t height = 0;
  std::uint64_t tile_width = 0;
  std::uint64_t tile_height = 0;
  std::uint64_t compression = 1;
  std::uint64_t photometric = 1;
  bool raw = false;
  std::size_t next_at = 0;  ///< where the next directory's offset is stored
  std::uint64_t next = 0;
};

/// Classic (32-bit offsets) and BigTIFF (64-bit), both byte orders.
class TiffReader {
 public:
  explicit TiffReader(Bytes bytes) : reader_(bytes, "TIFF"), little_(has_text_at(bytes, 0, "II")) {
    reader_.skip(2);
    big_tiff_ = u16() == 43;
    if (big_tiff_) reader_.skip(4);  // offset size, always 8
    first_ = offset();
  }

  std::uint64_t first_directory() const noexcept { return first_; }
  std::size_t offset_size() const noexcept { return big_tiff_ ? 8 : 4; }

  Directory read(std::uint64_t at) {
    reader_.seek(at);
    const std::uint64_t entries = big_tiff_ ? u64() : u16();
    // Checked as a whole first: no loop over a count that the file cannot hold.
    if (entries > reader_.remaining() / entry_size()) reader_.throw_truncated();
    Directory directory;
    for (std::uint64_t i = 0; i < entries; ++i) {
      const std::size_t start = reader_.position();
      read_entry(directory);
      reader_.seek(start + entry_size());
    }
    directory.next_at = reader_.position();
    directory.next = offset();
    return directory;
  }

 private:
  std::size_t entry_size() const noexcept { return big_tiff_ ? 20 : 12; }
  std::uint64_t u16() { return little_ ? reader_.little<2>() : reader_.big<2>(); }
  std::uint64_t u32() { return little_ ? reader_.little<4>() : reader_.big<4>(); }
  std::uint64_t u64() { return little_ ? reader_.little<8>() : reader_.big<8>(); }
  std::uint64_t offset() { return big_tiff_ ? u64() : u32(); }

  void read_entry(Directory& directory) {
    const std::uint64_t tag = u16();
    const std::uint64_t type = u16();
    reader_.skip(offset_size());  // count: one, for the tags read here
    switch (tag) {
      case kNewSubfileType:
        // Camera raw files keep a thumbnail in their first directory and say so here.
        directory.raw = directory.raw || (scalar(type) & 1) != 0;
        break;
      case kDngVersion:
        directory.raw = true;
        break;
      case kImageWidth:
        directory.width = scalar(type);
        break;
      case kImageLength:
        directory.height = scalar(type);
        break;
      case kTileWidth:
        directory.tile_width = scalar(type);
        break;
      case kTileLength:
        directory.tile_height = scalar(type);
        break;
      case kCompression:
        directory.compression = scalar(type);
        break;
      case kPhotometric:
        directory.photometric = scalar(type);
        break;
      default:
        break;
    }
  }

  /// BYTE, SHORT, LONG and LONG8 values stored in the entry itself.
  std::uint64_t scalar(std::uint64_t type) {
    switch (type) {
      case 1:
        return reader_.u8();
      case 3:
        return u16();
      case 4:
        return u32();
      case 16:
        return u64();
      default:
        throw Error(ErrorCode::kCorruptImage, "the TIFF image has a header field of type " +
                                                  std::to_string(type) +
                                                  " where a whole number belongs");
    }
  }

  ByteReader reader_;
  bool little_;
  bool big_tiff_ = false;
  std::uint64_t first_ = 0;
};

int count_pages(TiffReader reader, const Directory& first) {
  std::set<std::uint64_t> seen = {reader.first_directory()};
  try {
    std::uint64_t next = first.next;
    while (next != 0 && static_cast<int>(seen.size()) < kMaxPages && seen.insert(next).second) {
      next = reader.read(next).next;
    }
  } catch (const Error&) {
    // A later page is damaged; the first one is what counts.
    return static_cast<int>(seen.size()) - 1;
  }
  return static_cast<int>(seen.size());
}

template <std::size_t N>
bool contains(const std::array<std::uint64_t, N>& accepted, std::uint64_t value) {
  return std::find(accepted.begin(), accepted.end(), value) != accepted.end();
}

}  // namespace

Container open_tiff(Bytes bytes, const Limits& limits) {
  if (has_text_at(bytes, 8, "CR")) {
    throw Error(ErrorCode::kUnsupportedImage, "camera raw files (CR2) are not accepted");
  }
  TiffReader reader(bytes);
  const Directory first = reader.read(reader.first_directory());
  if (first.raw || !contains(kAcceptedPhotometric, first.photometric)) {
    throw Error(ErrorCode::kUnsupportedImage,
                "the TIFF image is camera raw or of an unusual kind (photometric " +
                    std::to_string(first.photometric) + ")");
  }
  if (!contains(kAcceptedCompression, first.compression)) {
    throw Error(ErrorCode::kUnsupportedImage,
                "TIFF compression " + std::to_string(first.compression) + " is not accepted");
  }
  check_dimensions(first.width, first.height, limits);
  if (first.tile_width != 0 || first.tile_height != 0) {
    check_dimensions(first.tile_width, first.tile_height, limits);
  }

  Container container;
  container.format = SourceFormat::kTiff;
  container.bytes = bytes;
  if (first.next != 0) {
    // libtiff counts pages by reading every directory; end the chain after the first.
    container.frames = count_pages(reader, first);
    container.storage.assign(bytes.begin(), bytes.end());
    std::fill_n(container.storage.begin() + static_cast<std::ptrdiff_t>(first.next_at),
                reader.offset_size(), std::byte{0});
    container.bytes = container.storage;
  }
  return container;
}

}  // namespace itemcrop::image
