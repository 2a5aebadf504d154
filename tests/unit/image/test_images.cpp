#include "unit/image/test_images.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <ctime>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include "image/vips_library.h"

namespace itemcrop::image::testing {
namespace {

/// Where the pixel (x, y) of the upright image is stored, by EXIF orientation (TIFF 6.0, tag 274:
/// the sides that the stored row 0 and column 0 show).
std::array<int, 2> stored_position(int orientation, int x, int y, int stored_width,
                                   int stored_height) {
  switch (orientation) {
    case 2:
      return {stored_width - 1 - x, y};
    case 3:
      return {stored_width - 1 - x, stored_height - 1 - y};
    case 4:
      return {x, stored_height - 1 - y};
    case 5:
      return {y, x};
    case 6:
      return {y, stored_height - 1 - x};
    case 7:
      return {stored_width - 1 - y, stored_height - 1 - x};
    case 8:
      return {stored_width - 1 - y, x};
    default:
      return {x, y};
  }
}

Pattern stored_pattern(const Pattern& upright, int orientation) {
  const bool turned = orientation >= 5;
  Pattern stored{turned ? upright.height : upright.width, turned ? upright.width : upright.height,
                 std::vector<std::uint8_t>(upright.pixels.size())};
  for (int y = 0; y < upright.height; ++y) {
    for (int x = 0; x < upright.width; ++x) {
      const auto [sx, sy] = stored_position(orientation, x, y, stored.width, stored.height);
      for (int band = 0; band < 3; ++band) {
        stored.pixels[static_cast<std::size_t>((sy * stored.width + sx) * 3 + band)] =
            upright.at(x, y, band);
      }
    }
  }
  return stored;
}

}  // namespace

Pattern make_pattern(int width, int height) {
  Pattern pattern{width, height, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const int across = 200 * x / std::max(1, width - 1);
      const int down = 200 * y / std::max(1, height - 1);
      pattern.pixels.push_back(static_cast<std::uint8_t>(20 + across));
      pattern.pixels.push_back(static_cast<std::uint8_t>(20 + down));
      pattern.pixels.push_back(static_cast<std::uint8_t>(220 - (across + down) / 2));
    }
  }
  return pattern;
}

VipsImagePtr to_vips(const std::vector<std::uint8_t>& pixels, int width, int height, int bands) {
  start_vips();
  const VipsImagePtr raw(vips_image_new_from_memory_copy(pixels.data(), pixels.size(), width,
                                                         height, bands, VIPS_FORMAT_UCHAR));
  const VipsInterpretation kind = bands <= 2 ? VIPS_INTERPRETATION_B_W : VIPS_INTERPRETATION_sRGB;
  return run_vips(
      [&](VipsImage** out) { return vips_copy(raw.get(), out, "interpretation", kind, nullptr); });
}

VipsImagePtr to_vips(const Pattern& pattern) {
  return to_vips(pattern.pixels, pattern.width, pattern.height, 3);
}

VipsImagePtr to_16_bit(VipsImage* image) {
  // 257 = 65535 / 255: the value whose high byte is the 8-bit one.
  const VipsImagePtr wide =
      run_vips([&](VipsImage** out) { return vips_linear1(image, out, 257, 0, nullptr); });
  const VipsImagePtr whole = run_vips(
      [&](VipsImage** out) { return vips_cast(wide.get(), out, VIPS_FORMAT_USHORT, nullptr); });
  const bool grey = vips_image_get_bands(image) <= 2;
  return run_vips([&](VipsImage** out) {
    return vips_copy(whole.get(), out, "interpretation",
                     grey ? VIPS_INTERPRETATION_GREY16 : VIPS_INTERPRETATION_RGB16, nullptr);
  });
}

File save(VipsImage* image, const std::string& suffix) {
  void* data = nullptr;
  std::size_t size = 0;
  const int status = vips_image_write_to_buffer(image, suffix.c_str(), &data, &size, nullptr);
  EXPECT_EQ(status, 0) << suffix << ": " << vips_error_buffer();
  vips_error_clear();
  const auto* const first = static_cast<const std::byte*>(data);
  File file(first, first + size);
  g_free(data);
  return file;
}

File save(const Pattern& pattern, const std::string& suffix) {
  return save(to_vips(pattern).get(), suffix);
}

bool can_save(const std::string& suffix) {
  start_vips();
  void* data = nullptr;
  std::size_t size = 0;
  const Pattern pattern = make_pattern(16, 16);
  const bool saved = vips_image_write_to_buffer(to_vips(pattern).get(), suffix.c_str(), &data,
                                                &size, nullptr) == 0;
  g_free(data);
  vips_error_clear();
  return saved;
}

const std::vector<Sample>& samples() {
  static const std::vector<Sample> all = [] {
    std::vector<Sample> found = {
        {"jpeg", ".jpg[Q=98]", 6},
        {"progressive_jpeg", ".jpg[Q=98,interlace]", 6},
        {"png", ".png", 0},
        {"interlaced_png", ".png[interlace]", 0},
        {"webp", ".webp[Q=98]", 12},
        {"lossless_webp", ".webp[lossless]", 0},
        {"tiff", ".tif", 0},
        {"deflate_tiff", ".tif[compression=deflate,predictor=horizontal]", 0},
        {"lzw_tiled_tiff", ".tif[compression=lzw,tile,tile_width=16,tile_height=16]", 0},
        {"jpeg_tiff", ".tif[compression=jpeg,Q=98]", 6},
        {"gif", ".gif[dither=0]", 40},
    };
    for (const Sample& optional :
         {Sample{"avif", ".avif[Q=95]", 12}, {"heic", ".heic[Q=95]", 12}}) {
      if (can_save(optional.suffix)) found.push_back(optional);
    }
    return found;
  }();
  return all;
}

int max_difference(const ImageView& a, const ImageView& b) {
  EXPECT_EQ(a.width, b.width);
  EXPECT_EQ(a.height, b.height);
  if (a.width != b.width || a.height != b.height) return 256;
  int worst = 0;
  for (int y = 0; y < a.height; ++y) {
    for (int i = 0; i < 3 * a.width; ++i) {
      const int difference = a.pixels[y * a.stride() + i] - b.pixels[y * b.stride() + i];
      worst = std::max(worst, std::abs(difference));
    }
  }
  return worst;
}

ImageView view_of(const Pattern& pattern) {
  return {pattern.pixels.data(), pattern.width, pattern.height, 0};
}

File bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

File join(const std::vector<File>& parts) {
  File whole;
  for (const File& part : parts) whole.insert(whole.end(), part.begin(), part.end());
  return whole;
}

bool contains(const File& file, std::string_view text) {
  const File wanted = bytes_of(text);
  return std::search(file.begin(), file.end(), wanted.begin(), wanted.end()) != file.end();
}

File big(std::uint64_t value, int size) {
  File file = little(value, size);
  std::reverse(file.begin(), file.end());
  return file;
}

File little(std::uint64_t value, int size) {
  File file;
  for (int i = 0; i < size; ++i) file.push_back(static_cast<std::byte>(value >> (8 * i) & 0xFF));
  return file;
}

File png_chunk(std::string_view type, const File& data) {
  const File body = join({bytes_of(type), data});
  const auto checksum =
      crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
  return join({big(data.size(), 4), body, big(checksum, 4)});
}

File riff_chunk(std::string_view type, const File& data) {
  return join({bytes_of(type), little(data.size(), 4), data, File(data.size() % 2)});
}

File webp_file(const std::vector<File>& chunks) {
  const File body = join({bytes_of("WEBP"), join(chunks)});
  return join({bytes_of("RIFF"), little(body.size(), 4), body});
}

File with_png_chunk(const File& png, const File& chunk) {
  constexpr std::ptrdiff_t kHeaderEnd = 33;  // signature and IHDR
  return join({File(png.begin(), png.begin() + kHeaderEnd), chunk,
               File(png.begin() + kHeaderEnd, png.end())});
}

File exif_block(int orientation) {
  const auto value = static_cast<std::uint64_t>(orientation);
  return join({bytes_of("II*"), little(0, 1), little(8, 4),  // header, offset of the directory
               little(1, 2),                                 // one entry: tag 274, SHORT, one value
               little(274, 2), little(3, 2), little(1, 4), little(value, 4), little(0, 4)});
}

File save_oriented(const Pattern& upright, int orientation, const std::string& suffix) {
  const VipsImagePtr image = to_vips(stored_pattern(upright, orientation));
  vips_image_set_int(image.get(), VIPS_META_ORIENTATION, orientation);
  const File file = save(image.get(), suffix);
  // libvips keeps an orientation in every format but this one.
  if (!suffix.starts_with(".png")) return file;
  return with_png_chunk(file, png_chunk("eXIf", exif_block(orientation)));
}

std::size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t pages = 0;
  std::size_t resident = 0;
  statm >> pages >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

double milliseconds(const std::function<void()>& call) {
  const std::clock_t start = std::clock();
  call();
  return 1000.0 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

ErrorCode error_code(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_STRNE(error.what(), "");
    return error.code();
  }
  ADD_FAILURE() << "no error was thrown";
  return ErrorCode::kInternal;
}

}  // namespace itemcrop::image::testing
