#include <cstdint>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "image/decoder.h"
#include "image/vips_library.h"
#include "unit/image/test_pictures.h"

namespace itemcrop::image::testing {
namespace {

/// A value of /proc/self/status in bytes.
std::int64_t status(const std::string& name) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name + ":")) return std::stoll(line.substr(name.size() + 1)) * 1024;
  }
  ADD_FAILURE() << "no " << name;
  return 0;
}

/// The most resident memory that `work` needed on top of what there was.
template <typename Work>
std::int64_t peak_of(Work&& work) {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
  const std::int64_t before = status("VmRSS");
  std::ofstream("/proc/self/clear_refs") << "5";  // the high-water mark starts anew
  work();
  return status("VmHWM") - before;
}

struct Kind {
  std::string name;
  std::string suffix;
  int bands = 3;
  bool deep = false;    ///< 16 bits a sample
  int orientation = 1;  ///< EXIF's
  int side = 3'000;     ///< pixels; slow coders get a smaller image
  double spare = 1.6;   ///< the estimate may be so much more than the measure
};

File file_of(const Kind& kind) {
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(kind.side) *
                                   static_cast<std::size_t>(kind.side) *
                                   static_cast<std::size_t>(kind.bands));
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] = static_cast<std::uint8_t>((i / 7 ^ i / 1'000) & 0xFFU);
  }
  VipsImagePtr image = to_vips(pixels, kind.side, kind.side, kind.bands);
  if (kind.deep) image = to_16_bit(image.get());
  if (kind.orientation > 1) {
    vips_image_set_int(image.get(), VIPS_META_ORIENTATION, kind.orientation);
  }
  return save(image.get(), kind.suffix);
}

std::vector<Kind> kinds() {
  std::vector<Kind> all = {
      {"jpeg", ".jpg"},
      {"jpeg_420", ".jpg[subsample_mode=on]"},
      {"turned_jpeg", ".jpg", 3, false, 6},
      {"grey_jpeg", ".jpg", 1},
      {"progressive_jpeg", ".jpg[interlace,subsample_mode=off]"},
      {"turned_progressive_jpeg", ".jpg[interlace,subsample_mode=off]", 3, false, 6},
      {"progressive_jpeg_420", ".jpg[interlace,subsample_mode=on]", 3, false, 1, 3'000, 2},
      {"png", ".png"},
      {"rgba_png", ".png", 4},
      {"deep_rgba_png", ".png", 4, true},
      {"interlaced_png", ".png[interlace]"},
      {"interlaced_rgba_png", ".png[interlace]", 4},
      {"interlaced_deep_rgba_png", ".png[interlace]", 4, true},
      {"interlaced_grey_png", ".png[interlace]", 1},
      {"webp", ".webp", 3, false, 1, 2'000},
      {"rgba_webp", ".webp", 4, false, 1, 2'000},
      {"lossless_webp", ".webp[lossless,effort=0]", 3, false, 1, 2'000},
      {"lossless_rgba_webp", ".webp[lossless,effort=0]", 4, false, 1, 2'000},
      {"tiff", ".tif", 3, false, 1, 3'000, 3},
      {"tiff_of_one_strip", ".tif[compression=deflate,tile,tile_width=4096,tile_height=4096]", 3,
       false, 1, 3'000, 3},
      {"deep_rgba_tiff", ".tif[compression=deflate,tile,tile_width=4096,tile_height=4096]", 4, true,
       1, 3'000, 3},
      {"gif", ".gif[dither=0]", 3, false, 1, 2'000},
  };
  for (const char* suffix : {".heic[effort=0]", ".avif[effort=0]"}) {
    if (!can_save(suffix)) continue;
    const std::string name(suffix + 1, 4);
    const std::string deep = std::string(suffix, 5) + "[effort=0,bitdepth=12]";
    all.push_back({name, suffix, 3, false, 1, 1'000, 2.5});
    all.push_back({name + "_rgba", suffix, 4, false, 1, 1'000, 2.5});
    all.push_back({name + "_deep", deep, 3, true, 1, 1'000, 3});
  }
  return all;
}

class DecodeMemory : public ::testing::TestWithParam<Kind> {};

TEST_P(DecodeMemory, StaysBelowWhatWasEstimatedAndNotFarBelow) {
  set_vips_threads(1);
  const Kind& kind = GetParam();
  const File file = file_of(kind);
  const auto pixels = std::int64_t{kind.side} * kind.side;
  std::int64_t estimate = 0;
  const std::int64_t peak = peak_of([&] {
    Limits limits;
    limits.max_bytes = file.size();
    Decoder decoder(file, {}, limits);
    estimate = decoder.peak_bytes();
    const Picture picture = decoder.decode();
    EXPECT_EQ(picture.width(), kind.side);
  });
  const auto bytes_a_pixel = [&](std::int64_t bytes) {
    return static_cast<double>(bytes) / static_cast<double>(pixels);
  };
  std::cout << kind.name << ": " << bytes_a_pixel(peak) << " bytes a pixel, estimated "
            << bytes_a_pixel(estimate) << '\n';
  EXPECT_LE(peak, estimate);
  constexpr std::int64_t kNoise = 4'000'000;
  EXPECT_LE(static_cast<double>(estimate), kind.spare * static_cast<double>(peak + kNoise));
}

INSTANTIATE_TEST_SUITE_P(Formats, DecodeMemory, ::testing::ValuesIn(kinds()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace itemcrop::image::testing
