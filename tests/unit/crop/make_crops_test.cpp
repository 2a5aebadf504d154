#include "crop/make_crops.h"

#include <chrono>
#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "image/decode.h"
#include "support/cpu_time.h"
#include "support/expect_error.h"

namespace itemcrop::crop {
namespace {

using test::expect_error;

/// Noise, which no format makes small.
std::vector<std::uint8_t> noise(int width, int height) {
  std::vector<std::uint8_t> pixels(std::size_t{3} * static_cast<std::size_t>(width) *
                                   static_cast<std::size_t>(height));
  std::minstd_rand random(7);
  for (std::uint8_t& value : pixels) value = static_cast<std::uint8_t>(random() >> 8U);
  return pixels;
}

std::vector<FoundItem> items_at(const std::vector<Box>& boxes) {
  std::vector<FoundItem> items;
  for (const Box& box : boxes) items.emplace_back().detection.box = box;
  return items;
}

class MakeCrops : public testing::Test {
 protected:
  std::vector<std::uint8_t> pixels_ = noise(60, 40);
  ImageView image_{pixels_.data(), 60, 40, 0};
  image::CropOptions options_{.margin = 0, .format = image::Format::kPng};
};

TEST_F(MakeCrops, EveryItemGetsItsFile) {
  std::vector<FoundItem> items = items_at({{10, 10, 30, 20}, {-5, -5, 8, 8}});
  CropQuota quota;
  make_crops(image_, options_, items, quota);
  ASSERT_TRUE(items[0].crop && items[1].crop);
  EXPECT_EQ(items[0].crop->width, 20);
  EXPECT_EQ(items[0].crop->height, 10);
  EXPECT_EQ(items[0].crop->content_type, "image/png");
  EXPECT_EQ(items[1].crop->width, 8) << "cut at the image's edge";
  const image::Image decoded = image::decode(*items[0].crop->bytes);
  EXPECT_EQ(decoded.view().pixels[0], pixels_[(10 * 60 + 10) * 3]);
}

TEST_F(MakeCrops, TooManyAreRefusedBeforeTheFirst) {
  std::vector<FoundItem> items = items_at({{0, 0, 9, 9}, {9, 9, 19, 19}, {19, 19, 29, 29}});
  CropQuota quota({.max_crops = 2});
  expect_error(ErrorCode::kLimitExceeded, "max_crops: the crops of this request come to 3 crops",
               [&] { make_crops(image_, options_, items, quota); });
  EXPECT_FALSE(items[0].crop);
}

TEST_F(MakeCrops, PixelsAreCountedTogether) {
  std::vector<FoundItem> items = items_at({{0, 0, 10, 10}, {0, 0, 10, 10}});
  CropQuota enough({.max_crop_pixels = 200});
  make_crops(image_, options_, items, enough);
  CropQuota quota({.max_crop_pixels = 199});
  expect_error(ErrorCode::kLimitExceeded, "come to 200 pixels, the limit is 199",
               [&] { make_crops(image_, options_, items, quota); });
}

TEST_F(MakeCrops, BytesAreCountedOverAllImages) {
  std::vector<FoundItem> items = items_at({{0, 0, 20, 20}});  // 1,200 bytes of noise and a header
  CropQuota quota({.max_crop_bytes = 3'000});
  make_crops(image_, options_, items, quota);
  make_crops(image_, options_, items, quota);
  expect_error(ErrorCode::kLimitExceeded, "max_crop_bytes",
               [&] { make_crops(image_, options_, items, quota); });
}

TEST_F(MakeCrops, NoneIsMadeForNobody) {
  std::vector<FoundItem> items = items_at({{0, 0, 20, 20}});
  CropQuota quota;
  std::stop_source source;
  source.request_stop();
  expect_error(ErrorCode::kCancelled, "nobody waits",
               [&] { make_crops(image_, options_, items, quota, source.get_token()); });
}

TEST(MakeCrop, EndsSoonAfterNobodyWaits) {
  const int side = 4'000;
  const std::vector<std::uint8_t> pixels = noise(side, side);
  const ImageView image{pixels.data(), side, side, 0};
  for (const image::Format format :
       {image::Format::kJpeg, image::Format::kPng, image::Format::kWebp}) {
    const image::CropOptions options{.margin = 0, .format = format};
    std::stop_source source;
    std::chrono::nanoseconds stopped{};
    std::jthread stopper([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      stopped = test::cpu_time();
      source.request_stop();
    });
    expect_error(ErrorCode::kCancelled, "nobody waits", [&] {
      for (int i = 0; i < 100; ++i) {  // one may be fast
        make_crop(image, {0, 0, side, side}, options, source.get_token());
      }
    });
    stopper.join();
    EXPECT_LT(test::cpu_time() - stopped, std::chrono::milliseconds(200))
        << image::to_string(format);
  }
}

}  // namespace
}  // namespace itemcrop::crop
