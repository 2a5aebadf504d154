#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "image/decoder.h"
#include "image/vips_library.h"
#include "support/temporary_folder.h"
#include "unit/image/test_images.h"

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
      {"tiff", ".tif", 3, false, 1, 3'000, 4},
      {"tiff_of_one_strip", ".tif[compression=deflate,tile,tile_width=4096,tile_height=4096]", 3,
       false, 1, 3'000, 3},
      {"deep_rgba_tiff", ".tif[compression=deflate,tile,tile_width=2048,tile_height=2048]", 4, true,
       1, 2'000, 3},
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

/// What a decode took and what it was said to take, in bytes.
struct Measured {
  std::int64_t peak = 0;
  std::int64_t estimate = 0;
};

/// In a process of its own, whose heap nothing else has grown.
Measured measure(const File& file) {
  const test::TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "image";
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(file.data()), static_cast<std::streamsize>(file.size()));
  // By the environment, since the shell would take a path with spaces apart.
  setenv("DECODE_MEMORY_TEST", std::filesystem::read_symlink("/proc/self/exe").c_str(), 1);
  setenv("IMAGE", path.c_str(), 1);
  Measured measured;
  FILE* const child = popen("\"$DECODE_MEMORY_TEST\" --decode \"$IMAGE\"", "r");
  EXPECT_EQ(std::fscanf(child, "%" SCNd64 " %" SCNd64, &measured.peak, &measured.estimate), 2);
  EXPECT_EQ(pclose(child), 0);
  return measured;
}

/// The process that measure() starts.
int decode_and_report(const char* path) {
  set_vips_threads(1);
  const std::vector<std::byte> file = read_file(path, std::size_t{1} << 30);
  Limits limits;
  limits.max_bytes = file.size();
  const std::int64_t before = status("VmRSS");
  std::ofstream("/proc/self/clear_refs") << "5";  // the high-water mark starts anew
  Decoder decoder(file, {}, limits);
  const std::int64_t estimate = decoder.peak_bytes();
  decoder.decode();
  std::printf("%" PRId64 " %" PRId64 "\n", status("VmHWM") - before, estimate);
  return 0;
}

class DecodeMemory : public ::testing::TestWithParam<Kind> {};

TEST_P(DecodeMemory, StaysBelowWhatWasEstimatedAndNotFarBelow) {
  const Kind& kind = GetParam();
  const Measured measured = measure(file_of(kind));
  const double pixels = static_cast<double>(kind.side) * kind.side;
  std::cout << kind.name << ": " << static_cast<double>(measured.peak) / pixels
            << " bytes a pixel, estimated " << static_cast<double>(measured.estimate) / pixels
            << '\n';
  EXPECT_LE(measured.peak, measured.estimate);
  constexpr std::int64_t kNoise = 4'000'000;
  EXPECT_LE(static_cast<double>(measured.estimate),
            kind.spare * static_cast<double>(measured.peak + kNoise));
}

INSTANTIATE_TEST_SUITE_P(Formats, DecodeMemory, ::testing::ValuesIn(kinds()),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace itemcrop::image::testing

int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == "--decode") {
    return itemcrop::image::testing::decode_and_report(argv[2]);
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
