#include "ops/resize.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <zlib.h>

#include "core/thread_pool.h"
#include "support/procedural_image.h"

namespace itemcrop::ops {
namespace {

using Pixels = std::vector<std::uint8_t>;

nlohmann::json read_golden(const std::string& name) {
  const std::string path = std::string(ITEMCROP_GOLDEN_DIR) + "/resize/" + name;
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path << " is missing";
  return nlohmann::json::parse(file);
}

std::uint32_t checksum(const Pixels& pixels) {
  return static_cast<std::uint32_t>(
      crc32(0, pixels.data(), static_cast<unsigned int>(pixels.size())));
}

Pixels resized(const ImageView& image, ImageSize to, ThreadPool* pool = nullptr) {
  Pixels output(static_cast<std::size_t>(to.width) * static_cast<std::size_t>(to.height) * 3, 0xAA);
  resize_bilinear(image, to, output.data(), pool);
  return output;
}

TEST(ResizedSize, AgreesWithTheReference) {
  const nlohmann::json golden = read_golden("sizes.json");
  ASSERT_GT(golden.at("rows").size(), 400U);
  for (const nlohmann::json& row : golden.at("rows")) {
    const ImageSize size = resized_size({row[0], row[1]}, row[2], row[3]);
    EXPECT_EQ(size.width, row[4].get<int>()) << row;
    EXPECT_EQ(size.height, row[5].get<int>()) << row;
  }
}

TEST(ResizeBilinear, AgreesWithPillowBitForBit) {
  const nlohmann::json golden = read_golden("pixels.json");
  ASSERT_GE(golden.at("cases").size(), 12U);
  for (const nlohmann::json& entry : golden.at("cases")) {
    const auto seed = entry.at("seed").get<std::uint64_t>();
    const test::Image image = test::procedural_image(seed, entry.at("width"), entry.at("height"));
    ASSERT_EQ(checksum(image.pixels), entry.at("input_crc32")) << "seed " << seed;

    const Pixels output = resized(image.view(), {entry.at("out_width"), entry.at("out_height")});
    const auto indices = entry.at("indices").get<std::vector<std::size_t>>();
    const auto values = entry.at("values").get<std::vector<int>>();
    for (std::size_t i = 0; i < indices.size(); ++i) {
      ASSERT_EQ(output.at(indices[i]), values[i]) << "seed " << seed << ", byte " << indices[i];
    }
    EXPECT_EQ(checksum(output), entry.at("output_crc32")) << "seed " << seed;
  }
}

TEST(ResizeBilinear, DoesNotDependOnThreads) {
  const test::Image image = test::procedural_image(21, 301, 407);
  ThreadPool pool(3);
  for (const ImageSize to : {ImageSize{150, 203}, ImageSize{301, 99}, ImageSize{511, 800}}) {
    EXPECT_EQ(resized(image.view(), to, &pool), resized(image.view(), to));
  }
}

TEST(ResizeBilinear, ReadsOnlyTheRowsOfAStridedImage) {
  const test::Image image = test::procedural_image(22, 50, 40);
  // Every row is followed by bytes of another colour, which must not show.
  constexpr std::size_t kRow = 150;
  constexpr std::size_t kStride = 163;
  Pixels strided(kStride * 40, 0xFF);
  for (std::size_t row = 0; row < 40; ++row) {
    std::copy_n(image.pixels.data() + row * kRow, kRow, strided.data() + row * kStride);
  }
  const ImageView view{strided.data(), 50, 40, kStride};
  for (const ImageSize to : {ImageSize{50, 20}, ImageSize{31, 40}, ImageSize{50, 40}}) {
    EXPECT_EQ(resized(view, to), resized(image.view(), to));
  }
}

TEST(BilinearResize, GivesAnyRangeOfRows) {
  const test::Image image = test::procedural_image(23, 90, 217);
  for (const ImageSize to : {ImageSize{40, 61}, ImageSize{90, 61}, ImageSize{101, 500}}) {
    const Pixels whole = resized(image.view(), to);
    const BilinearResize resize({image.width, image.height}, to);
    const std::size_t row_bytes = static_cast<std::size_t>(to.width) * 3;
    for (int first = 0, count = 1; first < to.height; first += count, count += 3) {
      count = std::min(count, to.height - first);
      // Exactly as much memory as promised, so that a sanitizer sees any byte more.
      Pixels scratch(resize.scratch_bytes(count));
      Pixels rows(row_bytes * static_cast<std::size_t>(count));
      resize.resize_rows(image.view(), first, count, rows.data(), scratch.data());
      const auto begin = whole.begin() + static_cast<std::ptrdiff_t>(row_bytes) * first;
      EXPECT_TRUE(std::equal(rows.begin(), rows.end(), begin)) << "rows from " << first;
    }
  }
}

}  // namespace
}  // namespace itemcrop::ops
