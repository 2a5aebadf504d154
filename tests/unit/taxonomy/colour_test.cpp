#include "taxonomy/colour.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace itemcrop::taxonomy {
namespace {

using Rgb = std::array<std::uint8_t, 3>;

/// An image whose pixels a function gives.
struct Canvas {
  Canvas(int w, int h) : width(w), height(h), pixels(static_cast<std::size_t>(3 * w * h)) {}

  template <typename ColourAt>
  Canvas(int w, int h, const ColourAt& at) : Canvas(w, h) {
    for (int y = 0; y < h; ++y) {
      for (int x = 0; x < w; ++x) {
        const Rgb colour = at(x, y);
        std::copy(colour.begin(), colour.end(), pixels.begin() + 3 * (y * w + x));
      }
    }
  }

  ImageView view() const { return {pixels.data(), width, height, 0}; }

  int width, height;
  std::vector<std::uint8_t> pixels;
};

ColourName named(Rgb c) { return name_of(lab_of_srgb(c[0], c[1], c[2])); }

TEST(Lab, AgreesWithPublishedValues) {
  // sRGB primaries and white in CIE L*a*b*, D65 (B. Lindbloom's calculator).
  const std::vector<std::pair<Rgb, Lab>> values = {
      {{255, 255, 255}, {100.0F, 0, 0}},         {{0, 0, 0}, {0, 0, 0}},
      {{255, 0, 0}, {53.24F, 80.09F, 67.20F}},   {{0, 255, 0}, {87.73F, -86.18F, 83.18F}},
      {{0, 0, 255}, {32.30F, 79.19F, -107.86F}}, {{119, 119, 119}, {50.03F, 0, 0}}};
  for (const auto& [rgb, lab] : values) {
    const Lab found = lab_of_srgb(rgb[0], rgb[1], rgb[2]);
    EXPECT_NEAR(found.l, lab.l, 0.05);
    EXPECT_NEAR(found.a, lab.a, 0.05);
    EXPECT_NEAR(found.b, lab.b, 0.05);
  }
}

TEST(ColourName, NamesFlatColoursAsPeopleDo) {
  const std::vector<std::pair<Rgb, ColourName>> swatches = {
      {{10, 10, 12}, ColourName::kBlack},        {{35, 35, 37}, ColourName::kBlack},
      {{128, 128, 128}, ColourName::kGrey},      {{90, 92, 95}, ColourName::kGrey},
      {{250, 250, 250}, ColourName::kWhite},     {{225, 226, 228}, ColourName::kWhite},
      {{20, 28, 70}, ColourName::kNavy},         {{31, 40, 76}, ColourName::kNavy},
      {{30, 80, 190}, ColourName::kBlue},        {{20, 60, 200}, ColourName::kBlue},
      {{150, 190, 230}, ColourName::kLightBlue}, {{115, 150, 190}, ColourName::kLightBlue},
      {{0, 128, 128}, ColourName::kTeal},        {{70, 160, 165}, ColourName::kTeal},
      {{200, 25, 35}, ColourName::kRed},         {{220, 20, 30}, ColourName::kRed},
      {{110, 15, 35}, ColourName::kBurgundy},    {{85, 12, 28}, ColourName::kBurgundy},
      {{240, 130, 170}, ColourName::kPink},      {{250, 190, 205}, ColourName::kPink},
      {{110, 45, 150}, ColourName::kPurple},     {{140, 90, 180}, ColourName::kPurple},
      {{40, 140, 60}, ColourName::kGreen},       {{20, 90, 50}, ColourName::kGreen},
      {{85, 90, 40}, ColourName::kOlive},        {{107, 107, 47}, ColourName::kKhaki},
      {{70, 72, 35}, ColourName::kOlive},        {{150, 142, 95}, ColourName::kKhaki},
      {{215, 195, 165}, ColourName::kBeige},     {{225, 205, 175}, ColourName::kBeige},
      {{245, 235, 205}, ColourName::kCream},     {{250, 240, 215}, ColourName::kCream},
      {{95, 60, 35}, ColourName::kBrown},        {{75, 45, 30}, ColourName::kBrown},
      {{175, 130, 85}, ColourName::kTan},        {{165, 120, 75}, ColourName::kTan},
      {{235, 120, 20}, ColourName::kOrange},     {{255, 140, 0}, ColourName::kOrange},
      {{245, 215, 40}, ColourName::kYellow},     {{255, 225, 80}, ColourName::kYellow}};
  for (const auto& [rgb, name] : swatches) {
    EXPECT_EQ(named(rgb), name) << int{rgb[0]} << ' ' << int{rgb[1]} << ' ' << int{rgb[2]} << ": "
                                << to_string(named(rgb)) << ", not " << to_string(name);
  }
}

TEST(ColourName, EverySrgbColourHasAPlainName) {
  for (int r = 0; r < 256; r += 15) {
    for (int g = 0; g < 256; g += 15) {
      for (int b = 0; b < 256; b += 15) {
        const ColourName name = named({static_cast<std::uint8_t>(r), static_cast<std::uint8_t>(g),
                                       static_cast<std::uint8_t>(b)});
        EXPECT_NE(name, ColourName::kGold);
        EXPECT_NE(name, ColourName::kSilver);
        EXPECT_NE(name, ColourName::kMulticolour);
        EXPECT_FALSE(to_string(name).empty());
      }
    }
  }
}

constexpr Rgb kNavy = {25, 32, 75};
constexpr Rgb kBeige = {215, 195, 165};
constexpr Rgb kRed = {200, 25, 35};
constexpr Rgb kWhite = {245, 245, 245};

TEST(EstimateColour, LooksPastTheBackground) {
  // A cross of navy covers less than half of its box; the floor covers the rest.
  const Canvas canvas(300, 300, [](int x, int y) {
    const bool inside = x >= 50 && x < 250 && y >= 50 && y < 250;
    const bool cross = std::abs(x - 150) < 30 || std::abs(y - 150) < 30;
    return inside && cross ? kNavy : kBeige;
  });
  const ColourEstimate estimate = estimate_colour(canvas.view(), {50, 50, 250, 250});
  EXPECT_EQ(estimate.name, ColourName::kNavy) << to_string(estimate.name);
  EXPECT_GT(estimate.confidence, 0.9F);
}

TEST(EstimateColour, FindsAGarmentOfTheBackgroundsColour) {
  const Canvas canvas(200, 200, [](int, int) { return kWhite; });
  EXPECT_EQ(estimate_colour(canvas.view(), {40, 40, 160, 160}).name, ColourName::kWhite);
}

TEST(EstimateColour, WorksWithoutARing) {
  const Canvas canvas(120, 160,
                      [](int x, int y) { return std::hypot(x - 60, y - 80) < 55 ? kRed : kWhite; });
  EXPECT_EQ(estimate_colour(canvas.view(), {0, 0, 120, 160}).name, ColourName::kRed);
  EXPECT_EQ(estimate_colour(canvas.view(), {-500, -500, 900, 900}).name, ColourName::kRed);
}

TEST(EstimateColour, ShadingIsOneColour) {
  const Canvas canvas(240, 240, [](int x, int y) -> Rgb {
    if (x < 40 || x >= 200 || y < 40 || y >= 200) return kBeige;
    const double light = 0.8 + 0.2 * std::sin(x / 9.0);
    return {static_cast<std::uint8_t>(200 * light), static_cast<std::uint8_t>(25 * light),
            static_cast<std::uint8_t>(35 * light)};
  });
  const ColourEstimate estimate = estimate_colour(canvas.view(), {40, 40, 200, 200});
  EXPECT_EQ(estimate.name, ColourName::kRed) << to_string(estimate.name);
}

TEST(EstimateColour, CallsAPatchworkMulticolour) {
  const std::array<Rgb, 4> patches = {kNavy, kRed, {245, 215, 40}, {40, 140, 60}};
  const Canvas canvas(200, 200, [&](int x, int y) {
    return patches[static_cast<std::size_t>((x / 20 + 2 * (y / 20)) % 4)];
  });
  const ColourEstimate estimate = estimate_colour(canvas.view(), {0, 0, 200, 200});
  EXPECT_EQ(estimate.name, ColourName::kMulticolour);
  EXPECT_GE(estimate.shares.size(), 4U);
  float sum = 0;
  for (const ColourShare& share : estimate.shares) sum += share.share;
  EXPECT_NEAR(sum, 1, 1e-4);
}

TEST(EstimateColour, ASmallPrintDoesNotNameTheShirt) {
  const Canvas canvas(200, 200, [](int x, int y) {
    return std::abs(x - 100) < 20 && std::abs(y - 100) < 20 ? kRed : kNavy;
  });
  EXPECT_EQ(estimate_colour(canvas.view(), {0, 0, 200, 200}).name, ColourName::kNavy);
}

TEST(EstimateColour, MetalsAreGoldAndSilver) {
  ColourOptions metallic;
  metallic.metallic = true;
  const Canvas gold(60, 60, [](int, int) { return Rgb{190, 150, 70}; });
  const Canvas silver(60, 60, [](int, int) { return Rgb{150, 152, 155}; });
  EXPECT_EQ(estimate_colour(gold.view(), {10, 10, 50, 50}, metallic).name, ColourName::kGold);
  EXPECT_EQ(estimate_colour(silver.view(), {10, 10, 50, 50}, metallic).name, ColourName::kSilver);
  EXPECT_EQ(estimate_colour(silver.view(), {10, 10, 50, 50}).name, ColourName::kGrey);
}

TEST(EstimateColour, TinyImagesAndSlantedStridesWork) {
  const std::array<std::uint8_t, 3> pixel = {200, 25, 35};
  EXPECT_EQ(estimate_colour({pixel.data(), 1, 1, 0}, {0, 0, 1, 1}).name, ColourName::kRed);
  EXPECT_EQ(estimate_colour({pixel.data(), 1, 1, 0}, {0.4F, 0.4F, 0.41F, 0.41F}).name,
            ColourName::kRed);
}

TEST(EstimateColour, RefusesWhatIsNoBox) {
  const Canvas canvas(10, 10);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const Box& box : {Box{nan, 0, 1, 1}, Box{5, 5, 5, 9}, Box{9, 9, 2, 2}, Box{10, 0, 20, 5},
                         Box{-9, -9, 0, 0}}) {
    test::expect_error(ErrorCode::kInvalidArgument, "box must be",
                       [&] { estimate_colour(canvas.view(), box); });
  }
  test::expect_error(ErrorCode::kInvalidArgument, "image must not be empty", [] {
    estimate_colour({}, {0, 0, 1, 1});
  });
  ColourOptions options;
  options.samples = 4;
  test::expect_error(ErrorCode::kInvalidArgument, "samples must be between 8 and 512, got 4", [&] {
    estimate_colour(canvas.view(), {0, 0, 5, 5}, options);
  });
}

TEST(Describe, JoinsColourAndKind) {
  EXPECT_EQ(describe(ColourName::kNavy, "blazer"), "navy blazer");
  EXPECT_EQ(describe(ColourName::kLightBlue, "  jeans "), "light blue jeans");
  EXPECT_EQ(describe(ColourName::kNavy, "Red dress"), "Red dress");
  EXPECT_EQ(describe(ColourName::kNavy, "gray hoodie"), "gray hoodie");
  EXPECT_EQ(describe(ColourName::kNavy, "tank top"), "navy tank top");  // no "tan" in it
  EXPECT_EQ(describe(ColourName::kNavy, ""), "navy");
}

}  // namespace
}  // namespace itemcrop::taxonomy
