#include "cli/decode_ahead.h"

#include <atomic>
#include <chrono>
#include <cstdlib>

#include <gtest/gtest.h>

namespace itemcrop::cli {
namespace {

image::Image image_of(int width) {
  auto* pixels = static_cast<std::uint8_t*>(std::calloc(static_cast<std::size_t>(width) * 3, 1));
  return {image::Image::Pixels(pixels, std::free), width, 1, {}};
}

std::vector<PhotoSource> sources(int count) {
  std::vector<PhotoSource> result;
  for (int i = 0; i < count; ++i) result.push_back({std::to_string(i), std::to_string(i), false});
  return result;
}

TEST(DecodeAhead, KeepsOrderAndReportsFailures) {
  DecodeAhead decoding(
      sources(20),
      [](const PhotoSource& source) {
        const int number = std::stoi(source.name);
        if (number == 3) throw Error(ErrorCode::kCorruptImage, "broken");
        if (number == 4) throw std::bad_alloc();
        if (number == 5) throw std::runtime_error("odd");
        return image_of(number + 1);
      },
      3);
  for (int i = 0; i < 20; ++i) {
    const auto photo = decoding.next();
    ASSERT_TRUE(photo);
    EXPECT_EQ(photo->source.name, std::to_string(i));
    if (i >= 3 && i <= 5) {
      ASSERT_TRUE(photo->error);
      EXPECT_FALSE(photo->image);
      EXPECT_EQ(photo->error->code(), i == 3   ? ErrorCode::kCorruptImage
                                      : i == 4 ? ErrorCode::kOutOfMemory
                                               : ErrorCode::kInternal);
    } else {
      EXPECT_EQ(photo->image.value().width(), i + 1);
    }
  }
  EXPECT_FALSE(decoding.next());
  EXPECT_FALSE(decoding.next()) << "the end stays the end";
}

TEST(DecodeAhead, NeverHoldsMoreThanItsCapacity) {
  std::atomic<int> decoded = 0;
  DecodeAhead decoding(
      sources(10),
      [&](const PhotoSource&) {
        ++decoded;
        return image_of(1);
      },
      2);
  for (int taken = 0; taken < 10; ++taken) {
    // Give it time to run ahead too far, if it would.
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_LE(decoded, taken + 2);
    ASSERT_TRUE(decoding.next());
  }
}

TEST(DecodeAhead, StopsWithoutDecodingTheRest) {
  std::atomic<int> decoded = 0;
  {
    DecodeAhead decoding(
        sources(1000),
        [&](const PhotoSource&) {
          ++decoded;
          return image_of(1);
        },
        2);
    ASSERT_TRUE(decoding.next());
  }
  EXPECT_LT(decoded, 10);
}

}  // namespace
}  // namespace itemcrop::cli
