#include "image/annotate.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "image/draw.h"
#include "image/label.h"
#include "image/resize.h"
#include "unit/image/test_images.h"

namespace itemcrop::image {
namespace {

using namespace testing;

Colour colour_at(const Image& image, int x, int y) {
  const std::uint8_t* const pixel = image.view().pixels + (y * image.width() + x) * 3;
  return {pixel[0], pixel[1], pixel[2]};
}

Pattern flat(int width, int height, std::uint8_t level) {
  return {width, height,
          std::vector<std::uint8_t>(static_cast<std::size_t>(width * height * 3), level)};
}

TEST(Annotate, DrawsABoxInItsColourAndNothingElse) {
  const Pattern grey = flat(200, 100, 128);
  const Annotation box{{50, 20, 150, 80}, "", 2};
  const Image image = annotate(view_of(grey), std::span(&box, 1), {.line_width = 3});
  for (const auto& [x, y] :
       {std::pair(50, 50), {52, 50}, {149, 50}, {147, 50}, {100, 20}, {100, 79}}) {
    EXPECT_EQ(colour_at(image, x, y), palette_colour(2)) << x << " " << y;
  }
  EXPECT_EQ(colour_at(image, 49, 50), (Colour{0, 0, 0}));
  EXPECT_EQ(colour_at(image, 53, 50), (Colour{0, 0, 0}));
  for (const auto& [x, y] : {std::pair(54, 50), {48, 50}, {100, 50}, {0, 0}, {199, 99}}) {
    EXPECT_EQ(colour_at(image, x, y), (Colour{128, 128, 128})) << x << " " << y;
  }
}

TEST(Annotate, LeavesTheSourceAlone) {
  const Pattern pattern = make_pattern(64, 64);
  const std::vector<std::uint8_t> before = pattern.pixels;
  const Annotation box{{1, 1, 60, 60}, "coat 0.91", 0};
  annotate(view_of(pattern), std::span(&box, 1));
  EXPECT_EQ(pattern.pixels, before);
}

TEST(Annotate, PaletteTakesAnyIndex) {
  EXPECT_NE(palette_colour(0), palette_colour(1));
  EXPECT_EQ(palette_colour(0), palette_colour(7));
  EXPECT_NO_THROW(palette_colour(-1));
}

TEST(Annotate, PutsTheCaptionAboveTheBoxOrInsideIt) {
  const Pattern grey = flat(300, 200, 128);
  const Annotation low{{50, 100, 250, 190}, "shirt", 4};
  const Image above = annotate(view_of(grey), std::span(&low, 1), {.text_height = 20});
  EXPECT_EQ(colour_at(above, 51, 97), palette_colour(4));
  const Annotation high{{50, 5, 250, 190}, "shirt", 4};
  const Image inside = annotate(view_of(grey), std::span(&high, 1), {.text_height = 20});
  EXPECT_EQ(colour_at(inside, 57, 8), palette_colour(4));
  EXPECT_EQ(colour_at(inside, 57, 2), (Colour{128, 128, 128}));
}

TEST(Annotate, SurvivesBoxesAndLabelsOfAnyKind) {
  const Pattern pattern = make_pattern(40, 30);
  const float huge = 1e30F;
  const std::vector<Annotation> annotations = {
      {{-100, -100, 500, 500}, std::string(100'000, 'w'), 0},
      {{10, 10, 10, 10}, "<b>&amp;<span", 1},
      {{-huge, -huge, huge, huge}, std::string("\xFF\xFE\x00\x01", 4), 2},
      {{39, 29, 40, 30}, "\n\n\t", 3},
      {{30, 20, 5, 5}, "\u202Eabc \U0001F9E5 \u4E0A\u8863", 1 << 30},
  };
  const Image image = annotate(view_of(pattern), annotations);
  EXPECT_EQ(image.width(), 40);
  EXPECT_EQ(image.height(), 30);
}

TEST(Annotate, ShrinksAndScalesTheBoxes) {
  const Pattern grey = flat(400, 200, 128);
  const Annotation box{{100, 40, 300, 160}, "", 1};
  const Image image =
      annotate(view_of(grey), std::span(&box, 1), {.max_side = 200, .line_width = 2});
  ASSERT_EQ(image.width(), 200);
  ASSERT_EQ(image.height(), 100);
  EXPECT_EQ(colour_at(image, 50, 50), palette_colour(1));
  EXPECT_EQ(colour_at(image, 149, 50), palette_colour(1));
  const Image whole = annotate(view_of(grey), std::span(&box, 1), {.max_side = 0});
  EXPECT_EQ(whole.width(), 400);
}

TEST(Annotate, RefusesBadArguments) {
  const Pattern pattern = make_pattern(8, 8);
  EXPECT_EQ(error_code([] { annotate({}, {}); }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code([&] { annotate(view_of(pattern), {}, {.max_side = -1}); }),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code([&] { annotate(view_of(pattern), {}, {.text_height = -1}); }),
            ErrorCode::kInvalidArgument);
}

TEST(Label, DrawsTextOfAboutTheHeightAskedFor) {
  const auto small = draw_label("blazer", 12, 1000);
  const auto large = draw_label("blazer", 48, 1000);
  ASSERT_TRUE(small && large);
  EXPECT_EQ(small->coverage.size(), static_cast<std::size_t>(small->width * small->height));
  EXPECT_GT(large->height, 30);
  EXPECT_LT(large->height, 72);
  EXPECT_GT(large->width, 3 * small->width);
  EXPECT_GT(*std::max_element(small->coverage.begin(), small->coverage.end()), 200);
}

TEST(Label, IsCutToTheRoomThereIs) {
  const auto label = draw_label(std::string(500, 'm'), 20, 90);
  ASSERT_TRUE(label);
  EXPECT_EQ(label->width, 90);
}

TEST(Label, TakesMarkupLiterally) {
  const auto plain = draw_label("b", 20, 1000);
  const auto markup = draw_label("<b>b</b>", 20, 1000);
  ASSERT_TRUE(plain && markup);
  EXPECT_GT(markup->width, 3 * plain->width);
}

TEST(Label, NothingToDrawIsNoLabel) {
  EXPECT_FALSE(draw_label("", 20, 100));
  EXPECT_FALSE(draw_label("  \n", 20, 100));
}

TEST(Draw, ClipsEverything) {
  std::vector<std::uint8_t> pixels(4 * 4 * 3, 0);
  const Canvas canvas{pixels.data(), 4, 4};
  constexpr int kMax = 2'000'000'000;
  fill_rect(canvas, {-kMax, -kMax, kMax, kMax}, {9, 9, 9});
  fill_rect(canvas, {kMax, 0, kMax, kMax}, {9, 9, 9});
  EXPECT_EQ(pixels, std::vector<std::uint8_t>(48, 0));
  fill_rect(canvas, {2, 3, kMax, kMax}, {1, 2, 3});
  EXPECT_EQ(std::count(pixels.begin(), pixels.end(), 0), 42);
  const std::vector<std::uint8_t> coverage(9, 255);
  blend_mask(canvas, -2, -2, {coverage, 3, 3}, {200, 100, 50});
  EXPECT_EQ(pixels[0], 200);
  EXPECT_EQ(pixels[3], 0);
}

TEST(Draw, BlendsByCoverage) {
  std::vector<std::uint8_t> pixels = {0, 100, 200};
  const std::vector<std::uint8_t> half = {128};
  blend_mask({pixels.data(), 1, 1}, 0, 0, {half, 1, 1}, {255, 100, 0});
  EXPECT_EQ(pixels, (std::vector<std::uint8_t>{128, 100, 100}));
}

TEST(ShrinkToFit, KeepsProportionsAndNeverEnlarges) {
  const Pattern pattern = make_pattern(300, 200);
  for (const auto& [limit, width, height] : {std::array{150, 150, 100},
                                             {100, 100, 67},
                                             {7, 7, 5},
                                             {1, 1, 1},
                                             {300, 300, 200},
                                             {9999, 300, 200}}) {
    const Image image = shrink_to_fit(view_of(pattern), limit);
    EXPECT_EQ(image.width(), width) << limit;
    EXPECT_EQ(image.height(), height) << limit;
  }
  EXPECT_EQ(max_difference(shrink_to_fit(view_of(pattern), 300).view(), view_of(pattern)), 0);
  EXPECT_EQ(error_code([&] { shrink_to_fit(view_of(pattern), 0); }), ErrorCode::kInvalidArgument);
}

TEST(ShrinkToFit, AveragesRatherThanSkips) {
  std::vector<std::uint8_t> stripes;
  for (int i = 0; i < 64 * 64; ++i) stripes.insert(stripes.end(), 3, i % 2 == 0 ? 0 : 200);
  const Image image = shrink_to_fit(view_of({64, 64, stripes}), 8);
  for (int i = 0; i < 8 * 8 * 3; ++i) EXPECT_NEAR(image.view().pixels[i], 100, 12);
}

}  // namespace
}  // namespace itemcrop::image
