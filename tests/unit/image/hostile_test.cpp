// What threats.md of the design calls pixel bombs, animations, oversized metadata, polyglots and
// damaged files. Every file is made here, most of them by hand.
#include <algorithm>
#include <array>

#include <gtest/gtest.h>
#include <zlib.h>

#include "image/decode.h"
#include "image/encode.h"
#include "image/vips_library.h"
#include "unit/image/test_images.h"

namespace itemcrop::image {
namespace {

using namespace testing;

struct NamedFile {
  std::string name;
  File file;
};

File png_header(std::uint64_t width, std::uint64_t height) {
  return join(
      {bytes_of("\x89PNG\r\n\x1A\n"),
       png_chunk("IHDR", join({big(width, 4), big(height, 4), big(0x08020000, 4), big(0, 1)}))});
}

/// Signature, frame header of three components, start of one scan and a few bytes of it.
File jpeg_of_size(std::uint64_t width, std::uint64_t height) {
  return join({big(0xFFD8, 2), big(0xFFC0, 2), big(17, 2), big(8, 1), big(height, 2), big(width, 2),
               big(3, 1), big(0x011100, 3), big(0x021100, 3), big(0x031100, 3), big(0xFFDA, 2),
               big(12, 2), big(3, 1), big(0x0100, 2), big(0x0200, 2), big(0x0300, 2),
               big(0x003F00, 3), big(0, 8), big(0xFFD9, 2)});
}

/// One directory of LONG values (a BigTIFF's are LONG8), uncompressed RGB.
File tiff_of_size(std::uint64_t width, std::uint64_t height, bool big_tiff,
                  std::uint64_t next = 0) {
  const int word = big_tiff ? 8 : 4;
  const std::uint64_t type = big_tiff ? 16 : 4;
  std::vector<File> parts;
  if (big_tiff) {
    parts = {bytes_of("II+"), little(0, 1),  little(8, 2),
             little(0, 2),    little(16, 8), little(7, 8)};
  } else {
    parts = {bytes_of("II*"), little(0, 1), little(8, 4), little(7, 2)};
  }
  const std::vector<std::pair<std::uint64_t, std::uint64_t>> entries = {
      {256, width}, {257, height}, {258, 8}, {259, 1}, {262, 1}, {273, 8}, {279, 1}};
  for (const auto& [tag, value] : entries) {
    parts.insert(parts.end(),
                 {little(tag, 2), little(type, 2), little(1, word), little(value, word)});
  }
  parts.push_back(little(next, word));
  return join(parts);
}

File vp8x(std::uint64_t flags, std::uint64_t width, std::uint64_t height) {
  return riff_chunk("VP8X", join({little(flags, 4), little(width - 1, 3), little(height - 1, 3)}));
}

/// An AVIF file whose size boxes have been overwritten; none where there is no encoder.
std::vector<NamedFile> heif_bombs() {
  std::vector<NamedFile> bombs;
  for (const std::string suffix : {".avif", ".heic"}) {
    if (!can_save(suffix)) continue;
    File file = save(make_pattern(64, 64), suffix);
    const File name = bytes_of("ispe");
    const auto box = std::search(file.begin(), file.end(), name.begin(), name.end());
    EXPECT_NE(box, file.end());
    const File size = join({big(0xFFFF, 4), big(0xFFFF, 4)});
    std::copy(size.begin(), size.end(), box + 8);
    bombs.push_back({suffix, file});
  }
  return bombs;
}

std::vector<NamedFile> pixel_bombs() {
  const File vp8l = join({little(0x2F, 1), little(0x0FFFFFFF, 4), File(16)});
  const File vp8 =
      join({little(0x10, 3), big(0x9D012A, 3), little(0x3FFF, 2), little(0x3FFF, 2), File(16)});
  const File frame = join({little(0, 6), little(0xFFFFFF, 3), little(0xFFFFFF, 3), File(4)});
  const File small_frame = riff_chunk("VP8L", join({little(0x2F, 1), File(16)}));
  std::vector<NamedFile> bombs = {
      {"png", join({png_header(0x7FFFFFFF, 0x7FFFFFFF), png_chunk("IDAT", File(64)),
                    png_chunk("IEND", {})})},
      {"wide png",
       join({png_header(0x7FFFFFFF, 1), png_chunk("IDAT", File(64)), png_chunk("IEND", {})})},
      {"jpeg", jpeg_of_size(0xFFFF, 0xFFFF)},
      {"gif",
       join({bytes_of("GIF89a"), little(0xFFFFFFFF, 4), File(3), bytes_of(","), File(9), File(4)})},
      {"gif frame",
       join({bytes_of("GIF89a"), little(0x00010001, 4), File(3), bytes_of(","), little(0xFFFF, 2),
             little(0xFFFF, 2), little(0xFFFF, 2), little(0xFFFF, 2), File(4)})},
      {"webp canvas", webp_file({vp8x(0, 1 << 24, 1 << 24), small_frame})},
      {"webp frame",
       webp_file({vp8x(2, 8, 8), riff_chunk("ANIM", File(6)), riff_chunk("ANMF", frame)})},
      {"lossless webp", webp_file({riff_chunk("VP8L", vp8l)})},
      {"lossy webp", webp_file({riff_chunk("VP8 ", vp8)})},
      {"tiff", tiff_of_size(0xFFFFFFFF, 0xFFFFFFFF, false)},
      {"bigtiff", tiff_of_size(~std::uint64_t{0}, ~std::uint64_t{0}, true)},
      {"overflowing bigtiff", tiff_of_size(std::uint64_t{1} << 32, std::uint64_t{1} << 32, true)},
  };
  for (NamedFile& bomb : heif_bombs()) bombs.push_back(std::move(bomb));
  return bombs;
}

TEST(Hostile, PixelBombsAreRefusedFromTheHeader) {
  const std::vector<NamedFile> bombs = pixel_bombs();
  decode(save(make_pattern(64, 64), ".png"));  // what libvips sets up once is not the bomb's
  for (const NamedFile& bomb : bombs) {
    SCOPED_TRACE(bomb.name);
    const std::size_t before = resident_bytes();
    ErrorCode code = ErrorCode::kInternal;
    const double spent = milliseconds([&] { code = error_code([&] { decode(bomb.file); }); });
    EXPECT_EQ(code, ErrorCode::kLimitExceeded);
    EXPECT_LT(spent, 50);
    EXPECT_LT(resident_bytes(), before + 8'000'000);
  }
}

TEST(Hostile, LimitsAreNamedWithTheirValue) {
  const File file = save(make_pattern(64, 32), ".png");
  const auto message = [&](const Limits& limits) -> std::string {
    try {
      decode(file, {}, limits);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kLimitExceeded);
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message({.max_pixels = 64 * 32}), "");
  EXPECT_EQ(message({.max_pixels = 64 * 32 - 1}),
            "the image declares 64 x 32 = 2048 pixels; the limit is 2047 (max_pixels)");
  EXPECT_EQ(message({.max_side = 63}),
            "the image declares 64 x 32 pixels; the limit for a side is 63 (max_side)");
  EXPECT_EQ(message({.max_bytes = file.size()}), "");
  EXPECT_EQ(message({.max_bytes = file.size() - 1}),
            "the image is " + std::to_string(file.size()) + " bytes; the limit is " +
                std::to_string(file.size() - 1) + " (max_bytes)");
}

TEST(Hostile, LimitsHoldForEveryFormat) {
  for (const Sample& sample : samples()) {
    const File file = save(make_pattern(64, 64), sample.suffix);
    EXPECT_NO_THROW(decode(file, {}, {.max_pixels = 64 * 64})) << sample.name;
    EXPECT_EQ(error_code([&] { decode(file, {}, {.max_pixels = 64 * 64 - 1}); }),
              ErrorCode::kLimitExceeded)
        << sample.name;
  }
}

TEST(Hostile, HundredThousandGifFramesCostOne) {
  const File frame = join({bytes_of(","), File(4), little(0x00010001, 4), little(0, 1),
                           little(2, 1), little(0x02, 1), little(0x0144, 2), little(0, 1)});
  File file = join({bytes_of("GIF89a"), little(0x00010001, 4), big(0x800000, 3), File(6)});
  for (int i = 0; i < 100'000; ++i) file.insert(file.end(), frame.begin(), frame.end());
  file.push_back(std::byte{0x3B});
  EXPECT_LT(milliseconds([&] { EXPECT_EQ(decode(file).facts().frames, 100'000); }), 1000);
}

TEST(Hostile, HundredThousandWebpFramesCostOne) {
  // libwebp's own demuxer takes time in the square of the number of frames.
  const File still = save(make_pattern(1, 1), ".webp[lossless,strip]");
  const File name = bytes_of("VP8L");
  const auto chunk = std::search(still.begin(), still.end(), name.begin(), name.end());
  ASSERT_NE(chunk, still.end());
  const File frame = riff_chunk("ANMF", join({File(16), File(chunk, still.end())}));
  std::vector<File> chunks = {vp8x(0x02, 1, 1), riff_chunk("ANIM", File(6))};
  chunks.insert(chunks.end(), 100'000, frame);
  const File file = webp_file(chunks);
  const Limits limits{.max_bytes = file.size()};
  EXPECT_LT(milliseconds([&] { EXPECT_EQ(decode(file, {}, limits).facts().frames, 100'000); }),
            1000);
}

TEST(Hostile, LongAndCyclicTiffChainsCostOnePage) {
  File file = save(make_pattern(8, 8), ".tif");
  const auto offset = [&](std::size_t at) {
    std::size_t value = 0;
    for (std::size_t i = 4; i-- > 0;)
      value = value << 8 | std::to_integer<std::size_t>(file[at + i]);
    return value;
  };
  const std::size_t directory = offset(4);
  const std::size_t entries = offset(directory) & 0xFFFF;
  const std::size_t next_at = directory + 2 + 12 * entries;
  ASSERT_EQ(offset(next_at), 0U);
  const auto set_next = [&](std::size_t value) {
    const File bytes = little(value, 4);
    std::copy(bytes.begin(), bytes.end(), file.begin() + static_cast<std::ptrdiff_t>(next_at));
  };
  set_next(directory);
  EXPECT_EQ(decode(file).facts().frames, 1);

  set_next(file.size());
  for (int i = 0; i < 100'000; ++i) {
    const File empty = join({little(0, 2), little(file.size() + 6, 4)});
    file.insert(file.end(), empty.begin(), empty.end());
  }
  EXPECT_LT(milliseconds([&] { EXPECT_GE(decode(file).facts().frames, 1000); }), 1000);
}

TEST(Hostile, JpegScansAreCounted) {
  const File file = save(make_pattern(64, 64), ".jpg[interlace]");
  EXPECT_NO_THROW(decode(file));
  const File marker = big(0xFFDA, 2);
  const auto scan = std::find_end(file.begin(), file.end(), marker.begin(), marker.end());
  const File last_scan(scan, file.end() - 2);
  File bomb(file.begin(), file.end() - 2);
  for (int i = 0; i < 1000; ++i) bomb.insert(bomb.end(), last_scan.begin(), last_scan.end());
  EXPECT_EQ(error_code([&] { decode(bomb); }), ErrorCode::kLimitExceeded);
}

TEST(Hostile, CompressedTextIsNeverInflated) {
  const Pattern pattern = make_pattern(32, 32);
  // Forty megabytes of zeros a chunk, eighty chunks, in about three megabytes of file.
  const File zeros(40'000'000);
  uLongf size = compressBound(zeros.size());
  File packed(size);
  ASSERT_EQ(compress2(reinterpret_cast<Bytef*>(packed.data()), &size,
                      reinterpret_cast<const Bytef*>(zeros.data()), zeros.size(), 9),
            Z_OK);
  packed.resize(size);
  const File text = png_chunk("zTXt", join({bytes_of("Comment"), File(2), packed}));
  std::vector<File> chunks(80, text);
  const File file = with_png_chunk(save(pattern, ".png"), join(chunks));
  ASSERT_GT(file.size(), 1'000'000U);
  const std::size_t before = resident_bytes();
  EXPECT_EQ(max_difference(decode(file).view(), view_of(pattern)), 0);
  EXPECT_LT(resident_bytes(), before + 8'000'000);
}

TEST(Hostile, OversizedMetadataChangesNoPixel) {
  const Pattern pattern = make_pattern(32, 32);
  const VipsImagePtr image = to_vips(pattern);
  const std::string block(5'000'000, 'x');
  vips_image_set_blob_copy(image.get(), VIPS_META_ICC_NAME, block.data(), block.size());
  vips_image_set_blob_copy(image.get(), VIPS_META_XMP_NAME, block.data(), block.size());
  for (const char* suffix : {".webp[lossless]", ".tif"}) {
    SCOPED_TRACE(suffix);
    const File plain = save(pattern, suffix);
    const File file = save(image.get(), suffix);
    ASSERT_GT(file.size(), 5'000'000U);
    const Image decoded = decode(file);
    EXPECT_EQ(max_difference(decoded.view(), decode(plain).view()), 0);
    EXPECT_FALSE(decoded.facts().had_profile);
  }
  const File exif = png_chunk("eXIf", bytes_of(block));
  const File file = with_png_chunk(save(pattern, ".png"), exif);
  EXPECT_EQ(max_difference(decode(file).view(), view_of(pattern)), 0);
}

TEST(Hostile, OtherFormatsAreRefusedByContent) {
  const File dng =
      join({bytes_of("II*"), little(0, 1), little(8, 4), little(1, 2), little(50706, 2),
            little(1, 2), little(4, 4), little(0x0401, 4), little(0, 4)});
  const std::vector<NamedFile> files = {
      {"svg", bytes_of("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9\" height=\"9\"/>")},
      {"xml svg", bytes_of("<?xml version=\"1.0\"?><svg width=\"9\" height=\"9\"/>")},
      {"pdf", bytes_of("%PDF-1.7\n1 0 obj<<>>endobj\n")},
      {"ppm", bytes_of("P6\n1 1\n255\nabc")},
      {"pfm", bytes_of("PF\n1 1\n-1.0\nabcdabcdabcd")},
      {"bmp", join({bytes_of("BM"), little(58, 4), little(0, 4), little(54, 4), File(44)})},
      {"openexr", join({big(0x762F3101, 4), big(2, 4)})},
      {"fits", bytes_of("SIMPLE  =                    T")},
      {"radiance", bytes_of("#?RADIANCE\n")},
      {"jpeg xl", join({big(0xFF0A, 2), File(20)})},
      {"jpeg xl box", join({big(12, 4), bytes_of("JXL "), big(0x0D0A870A, 4)})},
      {"jpeg 2000", join({big(12, 4), bytes_of("jP  "), big(0x0D0A870A, 4)})},
      {"photoshop", bytes_of("8BPS\0\1")},
      {"vips", join({big(0x08F2A6B6, 4), File(60)})},
      {"mp4", join({big(16, 4), bytes_of("ftypisom"), big(0, 4)})},
      {"cr3", join({big(16, 4), bytes_of("ftypcrx "), big(0, 4)})},
      {"cr2", join({bytes_of("II*"), little(0, 1), little(16, 4), bytes_of("CR"), File(16)})},
      {"dng", dng},
      {"csv", bytes_of("1,2,3\n4,5,6\n")},
      {"imagemagick", bytes_of("push graphic-context\nviewbox 0 0 9 9\n")},
      {"html", bytes_of("<!doctype html><img src=x>")},
      {"zip", bytes_of("PK\x03\x04")},
      {"short", bytes_of("\xFF\xD8")},
  };
  for (const NamedFile& named : files) {
    EXPECT_EQ(error_code([&] { decode(named.file); }), ErrorCode::kUnsupportedImage) << named.name;
  }
  EXPECT_EQ(error_code([] { decode({}); }), ErrorCode::kInvalidArgument);
}

TEST(Hostile, UnusualTiffCodecsAreRefused) {
  const VipsImagePtr image = to_vips(make_pattern(16, 16));
  for (const char* suffix : {".tif[compression=zstd]", ".tif[compression=webp]"}) {
    if (!can_save(suffix)) continue;
    const File file = save(image.get(), suffix);
    EXPECT_EQ(error_code([&] { decode(file); }), ErrorCode::kUnsupportedImage) << suffix;
  }
}

TEST(Hostile, AppendedPayloadsAndMetadataNeverReachOutputs) {
  constexpr std::string_view kSecret = "PK\x03\x04-itemcrop-secret-payload";
  const VipsImagePtr image = to_vips(make_pattern(40, 30));
  const std::string secret(kSecret);
  vips_image_set_blob_copy(image.get(), VIPS_META_XMP_NAME, secret.data(), secret.size());
  vips_image_set_string(image.get(), "png-comment-0-Comment", secret.c_str());
  vips_image_set_string(image.get(), "exif-ifd0-ImageDescription", secret.c_str());
  vips_image_set_string(image.get(), VIPS_META_IMAGEDESCRIPTION, secret.c_str());
  for (const Sample& sample : samples()) {
    SCOPED_TRACE(sample.name);
    File file = save(image.get(), sample.suffix);
    const Image plain = decode(file);
    const File payload = bytes_of(kSecret);
    file.insert(file.end(), payload.begin(), payload.end());
    const Image decoded = decode(file);
    EXPECT_EQ(max_difference(decoded.view(), plain.view()), 0);
    for (const Format format : {Format::kJpeg, Format::kPng, Format::kWebp}) {
      const File output = encode(decoded.view(), format);
      for (const std::string_view trace :
           {kSecret, std::string_view("secret"), std::string_view("Exif"), std::string_view("EXIF"),
            std::string_view("eXIf"), std::string_view("ICC_PROFILE"), std::string_view("iCCP"),
            std::string_view("ICCP"), std::string_view("ns.adobe.com"), std::string_view("XMP ")}) {
        EXPECT_FALSE(contains(output, trace)) << to_string(format) << " " << trace;
      }
    }
  }
}

/// Decoding answers a damaged file with an error meant for damage, or with a whole image.
void expect_error_or_image(const File& file, const Limits& limits) {
  try {
    const Image image = decode(file, {}, limits);
    EXPECT_LE(std::int64_t{image.width()} * image.height(), limits.max_pixels);
    std::uint64_t sum = 0;
    const std::size_t size = static_cast<std::size_t>(image.width() * image.height()) * 3;
    for (std::size_t i = 0; i < size; ++i) sum += image.view().pixels[i];
    // A branch on the pixels: what a memory checker needs to report one that was never written.
    EXPECT_LE(sum, std::uint64_t{255} * size);
  } catch (const Error& error) {
    EXPECT_TRUE(error.code() == ErrorCode::kCorruptImage ||
                error.code() == ErrorCode::kUnsupportedImage ||
                error.code() == ErrorCode::kLimitExceeded)
        << error.what();
  }
}

TEST(Hostile, FilesCutAtEveryByteAreErrorsOrWhole) {
  set_vips_threads(1);
  for (const Sample& sample : samples()) {
    SCOPED_TRACE(sample.name);
    const File file = save(make_pattern(16, 16), sample.suffix);
    const Image whole = decode(file);
    for (std::size_t size = file.size(); size-- > 1;) {
      const File cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
      try {
        // Only an end marker or metadata behind the pixels may be missing from an image.
        const Image image = decode(cut);
        EXPECT_EQ(max_difference(image.view(), whole.view()), 0) << size;
      } catch (const Error& error) {
        EXPECT_TRUE(error.code() == ErrorCode::kCorruptImage ||
                    error.code() == ErrorCode::kUnsupportedImage)
            << size << ": " << error.what();
      }
    }
  }
}

TEST(Hostile, FlippedBytesAreErrorsOrImages) {
  set_vips_threads(1);
  constexpr std::array<std::byte, 3> kMasks = {std::byte{0x01}, std::byte{0x80}, std::byte{0xFF}};
  const Limits limits{.max_pixels = 1'000'000};
  for (const Sample& sample : samples()) {
    SCOPED_TRACE(sample.name);
    const File file = save(make_pattern(16, 16), sample.suffix);
    for (std::size_t at = 0; at < file.size(); ++at) {
      // Headers get every kind of damage, the rest takes turns.
      for (std::size_t kind = 0; kind < kMasks.size(); ++kind) {
        if (at >= 64 && at % kMasks.size() != kind) continue;
        File damaged = file;
        damaged[at] ^= kMasks[kind];
        expect_error_or_image(damaged, limits);
      }
    }
  }
}

#ifndef ITEMCROP_SANITIZED  // a sanitizer's allocator fills memory in its own way
/// Leaves freed blocks of many sizes, full of one value, for the next allocations to reuse.
void dirty_heap(std::uint8_t value) {
  std::vector<std::vector<std::uint8_t>> blocks;
  for (std::size_t size = 1500; size < 128'000; size += size / 3) {
    for (int i = 0; i < 40; ++i) blocks.emplace_back(size, value);
  }
}

TEST(Hostile, DamagedHeicShowsNoOldMemory) {
  ASSERT_TRUE(can_save(".heic")) << "this libvips cannot write HEIC: install libheif-plugin-x265";
  Pattern pattern = make_pattern(320, 320);
  std::uint32_t noise = 1;  // so that the file has many blocks to damage
  for (std::uint8_t& sample : pattern.pixels) {
    noise = noise * 1664525U + 1013904223U;
    sample ^= static_cast<std::uint8_t>(noise >> 27);
  }
  const File file = save(pattern, ".heic[Q=60]");
  int images = 0;
  for (const int tenths : {3, 5, 7, 9}) {
    for (const int value : {0x00, 0x55, 0x80, 0xFF}) {
      SCOPED_TRACE(std::to_string(tenths) + " " + std::to_string(value));
      File damaged = file;
      const auto start = static_cast<std::ptrdiff_t>(file.size()) * tenths / 10;
      std::fill(damaged.begin() + start, damaged.end(), static_cast<std::byte>(value));
      try {
        dirty_heap(0x11);
        const Image first = decode(damaged);
        dirty_heap(0xEE);
        EXPECT_EQ(max_difference(decode(damaged).view(), first.view()), 0);
        ++images;
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kCorruptImage);
      }
    }
  }
  EXPECT_GT(images, 0);
}
#endif

TEST(Hostile, NothingIsPrinted) {
  ::testing::internal::CaptureStderr();
  ::testing::internal::CaptureStdout();
  for (const Sample& sample : samples()) {
    File file = save(make_pattern(32, 32), sample.suffix);
    for (std::size_t at = file.size() / 3; at < file.size(); at += 7) file[at] ^= std::byte{0x55};
    expect_error_or_image(file, {});
    file.resize(file.size() / 2);
    expect_error_or_image(file, {});
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
}

}  // namespace
}  // namespace itemcrop::image
