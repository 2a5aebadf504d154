#include "image/crop.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "unit/image/test_images.h"

namespace itemcrop {

/// How GoogleTest shows a rectangle.
void PrintTo(const PixelRect& rect, std::ostream* out) {
  *out << "(" << rect.x << ", " << rect.y << ", " << rect.width << ", " << rect.height << ")";
}

}  // namespace itemcrop

namespace itemcrop::image {
namespace {

using namespace testing;

TEST(CropRect, AddsTheMarginToEachSide) {
  EXPECT_EQ(crop_rect({100, 200, 300, 600}, 1000, 1000), (PixelRect{90, 180, 220, 440}));
  EXPECT_EQ(crop_rect({100, 200, 300, 600}, 1000, 1000, {.margin = 0}),
            (PixelRect{100, 200, 200, 400}));
}

TEST(CropRect, RoundsOutwards) {
  EXPECT_EQ(crop_rect({10.9F, 10.1F, 20.1F, 20.9F}, 100, 100, {.margin = 0}),
            (PixelRect{10, 10, 11, 11}));
}

TEST(CropRect, IsClippedToTheImage) {
  EXPECT_EQ(crop_rect({0, 0, 100, 50}, 100, 50), (PixelRect{0, 0, 100, 50}));
  EXPECT_EQ(crop_rect({-20, -30, 50, 40}, 100, 100, {.margin = 0}), (PixelRect{0, 0, 50, 40}));
  EXPECT_EQ(crop_rect({90, 95, 500, 500}, 100, 100, {.margin = 0}), (PixelRect{90, 95, 10, 5}));
}

TEST(CropRect, IsNeverEmpty) {
  EXPECT_EQ(crop_rect({5, 5, 5, 5}, 10, 10, {.margin = 0}), (PixelRect{5, 5, 1, 1}));
  EXPECT_EQ(crop_rect({9.999F, 0, 9.999F, 0}, 10, 10, {.margin = 0}), (PixelRect{9, 0, 1, 1}));
  EXPECT_EQ(crop_rect({-3, -3, 0, 0}, 10, 10, {.margin = 0}), (PixelRect{0, 0, 1, 1}));
  // What clamping a box to the image can leave of one beside it.
  EXPECT_EQ(crop_rect({10, 4, 10, 8}, 10, 10, {.margin = 0}), (PixelRect{9, 4, 1, 4}));
}

TEST(CropRect, SquareExtendsTheShorterSide) {
  EXPECT_EQ(crop_rect({40, 20, 60, 80}, 200, 200, {.margin = 0, .square = true}),
            (PixelRect{20, 20, 60, 60}));
  // Shifted where it would leave the image.
  EXPECT_EQ(crop_rect({0, 20, 20, 80}, 200, 200, {.margin = 0, .square = true}),
            (PixelRect{0, 20, 60, 60}));
  EXPECT_EQ(crop_rect({190, 20, 200, 80}, 200, 200, {.margin = 0, .square = true}),
            (PixelRect{140, 20, 60, 60}));
  // As square as a long thin image allows.
  EXPECT_EQ(crop_rect({10, 10, 20, 90}, 50, 100, {.margin = 0, .square = true}),
            (PixelRect{0, 10, 50, 80}));
}

TEST(CropRect, MinimumSizeGrowsSmallBoxes) {
  EXPECT_EQ(crop_rect({50, 50, 60, 90}, 200, 200, {.margin = 0, .min_size = 32}),
            (PixelRect{39, 50, 32, 40}));
  EXPECT_EQ(crop_rect({0, 0, 4, 4}, 200, 200, {.margin = 0, .min_size = 32}),
            (PixelRect{0, 0, 32, 32}));
  EXPECT_EQ(crop_rect({5, 5, 6, 6}, 16, 200, {.margin = 0, .min_size = 32}),
            (PixelRect{0, 0, 16, 32}));
}

TEST(CropRect, MinimumSizeKeepsASquareSquare) {
  EXPECT_EQ(crop_rect({50, 50, 60, 54}, 200, 200, {.margin = 0, .square = true, .min_size = 64}),
            (PixelRect{23, 20, 64, 64}));
}

TEST(CropRect, HoldsItsPromisesForEveryBoxOfASmallImage) {
  constexpr int kWidth = 7;
  constexpr int kHeight = 5;
  for (int x0 = -2; x0 < kWidth; ++x0) {
    for (int x1 = std::max(x0, 0); x1 <= kWidth + 2; ++x1) {
      for (int y0 = -2; y0 < kHeight; ++y0) {
        for (int y1 = std::max(y0, 0); y1 <= kHeight + 2; ++y1) {
          for (const double margin : {0.0, 0.05, 0.5, 10.0}) {
            for (const bool square : {false, true}) {
              for (const int min_size : {0, 3, 100}) {
                const Box box{static_cast<float>(x0), static_cast<float>(y0),
                              static_cast<float>(x1), static_cast<float>(y1)};
                const PixelRect rect =
                    crop_rect(box, kWidth, kHeight,
                              {.margin = margin, .square = square, .min_size = min_size});
                // Inside the image and not empty.
                ASSERT_GE(rect.x, 0);
                ASSERT_GE(rect.y, 0);
                ASSERT_GE(rect.width, 1);
                ASSERT_GE(rect.height, 1);
                ASSERT_LE(rect.x + rect.width, kWidth);
                ASSERT_LE(rect.y + rect.height, kHeight);
                // Covers the part of the box that the image has.
                ASSERT_LE(rect.x, std::max(x0, 0));
                ASSERT_LE(rect.y, std::max(y0, 0));
                ASSERT_GE(rect.x + rect.width, std::min(x1, kWidth));
                ASSERT_GE(rect.y + rect.height, std::min(y1, kHeight));
                ASSERT_GE(rect.width, std::min(min_size, kWidth));
                ASSERT_GE(rect.height, std::min(min_size, kHeight));
                if (square && rect.width != rect.height) {
                  ASSERT_EQ(std::min(rect.width, rect.height), std::min(kWidth, kHeight));
                }
              }
            }
          }
        }
      }
    }
  }
}

TEST(CropRect, RefusesBadArguments) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const Box& box :
       {Box{nan, 0, 1, 1}, Box{0, 0, infinity, 1}, Box{5, 0, 4, 1}, Box{0, 5, 1, 4},
        Box{10.1F, 0, 11, 1}, Box{0, 10.1F, 1, 12}, Box{-9, 0, -1, 1}, Box{0, -9, 1, -1}}) {
    EXPECT_EQ(error_code([&] { crop_rect(box, 10, 10); }), ErrorCode::kInvalidArgument);
  }
  const Box box{1, 1, 2, 2};
  for (const double margin : {-0.1, 10.1, std::nan("")}) {
    EXPECT_EQ(error_code([&] { crop_rect(box, 10, 10, {.margin = margin}); }),
              ErrorCode::kInvalidArgument);
  }
  EXPECT_EQ(error_code([&] { crop_rect(box, 10, 10, {.min_size = -1}); }),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code([&] { crop_rect(box, 0, 10); }), ErrorCode::kInvalidArgument);
}

TEST(SubView, SharesThePixels) {
  const Pattern pattern = make_pattern(20, 10);
  const ImageView part = sub_view(view_of(pattern), {3, 2, 5, 4});
  EXPECT_EQ(part.width, 5);
  EXPECT_EQ(part.height, 4);
  EXPECT_EQ(part.pixels, pattern.pixels.data() + (2 * 20 + 3) * 3);
  EXPECT_EQ(part.pixels[part.stride() + 1], pattern.at(3, 3, 1));
  // A view of a view keeps the stride of the whole.
  const ImageView inner = sub_view(part, {1, 1, 2, 2});
  EXPECT_EQ(inner.pixels[inner.stride()], pattern.at(4, 4, 0));
}

TEST(SubView, RefusesToLeaveTheView) {
  const Pattern pattern = make_pattern(20, 10);
  constexpr int kMax = std::numeric_limits<int>::max();
  for (const PixelRect& rect : {PixelRect{0, 0, 21, 1},
                                {0, 0, 1, 11},
                                {-1, 0, 2, 2},
                                {0, -1, 2, 2},
                                {19, 9, 2, 1},
                                {0, 0, 0, 1},
                                {5, 5, kMax, 1},
                                {kMax, 0, 1, 1}}) {
    EXPECT_EQ(error_code([&] { sub_view(view_of(pattern), rect); }), ErrorCode::kInvalidArgument)
        << ::testing::PrintToString(rect);
  }
}

TEST(CropView, IsTheRectangleOfTheRules) {
  const Pattern pattern = make_pattern(100, 80);
  const ImageView crop = crop_view(view_of(pattern), {20, 20, 60, 50}, {.margin = 0.1});
  const ImageView expected = sub_view(view_of(pattern), {16, 17, 48, 36});
  EXPECT_EQ(crop.pixels, expected.pixels);
  EXPECT_EQ(crop.width, 48);
  EXPECT_EQ(crop.height, 36);
  EXPECT_EQ(error_code([] {
              crop_view({nullptr, 10, 10}, {1, 1, 2, 2});
            }),
            ErrorCode::kInvalidArgument);
}

TEST(EncodeCrop, CutsTheRectangleItSays) {
  const Pattern pattern = make_pattern(100, 80);
  const CropOptions options{.margin = 0.1, .format = Format::kPng};
  const Box box{20, 20, 60, 50};
  const Image crop = decode(encode_crop(view_of(pattern), box, options));
  const ImageView expected = sub_view(view_of(pattern), crop_rect(box, 100, 80, options.rules()));
  EXPECT_EQ(max_difference(crop.view(), expected), 0);
}

}  // namespace
}  // namespace itemcrop::image
