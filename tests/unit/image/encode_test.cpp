#include "image/encode.h"

#include <gtest/gtest.h>

#include "image/crop.h"
#include "unit/image/test_images.h"

namespace itemcrop::image {
namespace {

using namespace testing;

TEST(Encode, RoundTripsEveryFormat) {
  const Pattern pattern = make_pattern(60, 44);
  for (const auto& [format, tolerance] :
       {std::pair(Format::kJpeg, 8), {Format::kPng, 0}, {Format::kWebp, 16}}) {
    const Image image = decode(encode(view_of(pattern), format));
    EXPECT_EQ(to_string(image.facts().format), to_string(format));
    EXPECT_LE(max_difference(image.view(), view_of(pattern)), tolerance) << to_string(format);
  }
}

TEST(Encode, ReadsStridedViews) {
  const Pattern pattern = make_pattern(50, 40);
  const ImageView part = sub_view(view_of(pattern), {7, 5, 21, 30});
  const Image image = decode(encode(part, Format::kPng));
  EXPECT_EQ(max_difference(image.view(), part), 0);
}

TEST(Encode, QualityTradesSizeForError) {
  const Pattern pattern = make_pattern(128, 128);
  for (const Format format : {Format::kJpeg, Format::kWebp}) {
    const File coarse = encode(view_of(pattern), format, {.quality = 20});
    const File fine = encode(view_of(pattern), format, {.quality = 98});
    EXPECT_LT(coarse.size(), fine.size());
    EXPECT_GT(max_difference(decode(coarse).view(), view_of(pattern)),
              max_difference(decode(fine).view(), view_of(pattern)));
  }
}

/// Sampling factors of the first component, from the baseline frame header.
int first_sampling_factor(const File& jpeg) {
  const File marker = big(0xFFC0, 2);
  const auto frame = std::search(jpeg.begin(), jpeg.end(), marker.begin(), marker.end());
  return frame == jpeg.end() ? -1 : std::to_integer<int>(*(frame + 11));
}

TEST(Encode, HighQualityJpegKeepsFullColourResolution) {
  const Pattern pattern = make_pattern(64, 64);
  EXPECT_EQ(first_sampling_factor(encode(view_of(pattern), Format::kJpeg, {.quality = 90})), 0x11);
  EXPECT_EQ(first_sampling_factor(encode(view_of(pattern), Format::kJpeg, {.quality = 89})), 0x22);
}

TEST(Encode, RefusesBadArguments) {
  const Pattern pattern = make_pattern(4, 4);
  for (const int quality : {0, -1, 101}) {
    EXPECT_EQ(error_code([&] { encode(view_of(pattern), Format::kJpeg, {.quality = quality}); }),
              ErrorCode::kInvalidArgument);
  }
  EXPECT_EQ(error_code([] { encode({}, Format::kPng); }), ErrorCode::kInvalidArgument);
}

TEST(Encode, NamesTheLimitOfAFormat) {
  const std::vector<std::uint8_t> row(3 * 65'501, 128);
  const auto wide = [&](int width) { return ImageView{row.data(), width, 1, 0}; };
  EXPECT_NO_THROW(encode(wide(16'383), Format::kWebp));
  EXPECT_EQ(error_code([&] { encode(wide(16'384), Format::kWebp); }), ErrorCode::kLimitExceeded);
  EXPECT_NO_THROW(encode(wide(65'500), Format::kJpeg));
  EXPECT_EQ(error_code([&] { encode(wide(65'501), Format::kJpeg); }), ErrorCode::kLimitExceeded);
  EXPECT_NO_THROW(encode(wide(65'501), Format::kPng));
}

TEST(Encode, ParsesFormatNames) {
  for (const Format format : {Format::kJpeg, Format::kPng, Format::kWebp}) {
    EXPECT_EQ(parse_format(to_string(format)), format);
    EXPECT_EQ(parse_format(extension(format)), format);
    EXPECT_EQ(content_type(format), "image/" + std::string(to_string(format)));
  }
  EXPECT_EQ(extension(Format::kJpeg), "jpg");
  EXPECT_EQ(error_code([] { parse_format("gif"); }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code([] { parse_format(""); }), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace itemcrop::image
