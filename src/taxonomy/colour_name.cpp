#include <algorithm>
#include <array>
#include <cmath>

#include "taxonomy/colour.h"

namespace itemcrop::taxonomy {
namespace {

constexpr float kDegrees = 57.29577951F;

float linear(unsigned char level) noexcept {
  const float c = static_cast<float>(level) / 255.0F;
  return c <= 0.04045F ? c / 12.92F : std::pow((c + 0.055F) / 1.055F, 2.4F);
}

/// CIE's cube root with its straight part near black.
float lab_curve(float t) noexcept {
  return t > 216.0F / 24389.0F ? std::cbrt(t) : (24389.0F / 27.0F * t + 16.0F) / 116.0F;
}

bool between(float value, float low, float high) noexcept { return value >= low && value < high; }

/// Chroma below which a colour reads as black, grey or white. Warm light tints are seen sooner
/// (cream, beige) than cool ones, which a photo's white balance adds to everything.
float neutral_limit(float lightness, float hue) noexcept {
  if (between(hue, 45, 115)) return lightness > 60 ? 9.5F : 11.0F;
  if (between(hue, 250, 310)) return lightness < 40 ? 11.5F : 13.5F;
  return 14.0F;
}

ColourName neutral(const Lab& lab) noexcept {
  if (lab.l < 30) return ColourName::kBlack;
  return lab.l < 73.5F ? ColourName::kGrey : ColourName::kWhite;
}

/// Hues 335 to 360 and 0 to 12: pink, and what is darker.
ColourName rose(const Lab& lab, float chroma) noexcept {
  if (lab.l < 33) return ColourName::kBurgundy;
  if (lab.l < 46 && chroma > 50 && lab.hue() < 180) return ColourName::kRed;
  return ColourName::kPink;
}

/// 12 to 42 degrees.
ColourName red(const Lab& lab, float chroma, float hue) noexcept {
  if (chroma >= 42) {
    if (lab.l < 31 && hue < 35) return ColourName::kBurgundy;
    if (lab.l < 58) return ColourName::kRed;
    return hue < 32 ? ColourName::kPink : ColourName::kOrange;
  }
  if (lab.l < 34 && hue < 26 && chroma > 20) return ColourName::kBurgundy;
  if (lab.l < 50) return hue < 22 && chroma > 26 ? ColourName::kRed : ColourName::kBrown;
  return hue < 38 ? ColourName::kPink : ColourName::kBeige;
}

/// 42 to 82 degrees: brown to beige by lightness, orange to yellow when strong.
ColourName earth(const Lab& lab, float chroma, float hue) noexcept {
  if (chroma >= 46 && lab.l >= 48) {
    return hue < 74 ? ColourName::kOrange : ColourName::kYellow;
  }
  if (lab.l < 48) return ColourName::kBrown;
  if (lab.l < 59 || (chroma > 28 && lab.l < 68)) return ColourName::kTan;
  return lab.l > 86 && chroma < 20 ? ColourName::kCream : ColourName::kBeige;
}

/// 82 to 112 degrees.
ColourName straw(const Lab& lab, float chroma) noexcept {
  if (chroma >= 46 && lab.l >= 52) return ColourName::kYellow;
  if (lab.l < 42) return ColourName::kOlive;
  if (lab.l < 62) return ColourName::kKhaki;
  if (chroma >= 42) return ColourName::kYellow;
  return lab.l > 85 && chroma < 20 ? ColourName::kCream : ColourName::kBeige;
}

/// 240 to 310 degrees.
ColourName blue(const Lab& lab, float chroma) noexcept {
  if (lab.l < 24 || (lab.l < 39 && chroma < 35)) return ColourName::kNavy;
  if (chroma < 37 && lab.l >= 45) return ColourName::kLightBlue;
  return lab.l >= 66 ? ColourName::kLightBlue : ColourName::kBlue;
}

}  // namespace

std::string_view to_string(ColourName name) noexcept {
  static constexpr std::array<std::string_view, 23> kWords = {
      "black",    "white", "grey",   "navy",   "blue",  "light blue", "teal",       "red",
      "burgundy", "pink",  "purple", "green",  "olive", "khaki",      "beige",      "cream",
      "brown",    "tan",   "orange", "yellow", "gold",  "silver",     "multicolour"};
  return kWords[static_cast<std::size_t>(name)];
}

float Lab::chroma() const noexcept { return std::hypot(a, b); }

float Lab::hue() const noexcept {
  const float degrees = std::atan2(b, a) * kDegrees;
  return degrees < 0 ? degrees + 360.0F : degrees;
}

Lab lab_of_srgb(unsigned char r, unsigned char g, unsigned char b) noexcept {
  const float red_light = linear(r);
  const float green_light = linear(g);
  const float blue_light = linear(b);
  const float x = lab_curve(
      (0.4124564F * red_light + 0.3575761F * green_light + 0.1804375F * blue_light) / 0.95047F);
  const float y =
      lab_curve(0.2126729F * red_light + 0.7151522F * green_light + 0.0721750F * blue_light);
  const float z = lab_curve(
      (0.0193339F * red_light + 0.1191920F * green_light + 0.9503041F * blue_light) / 1.08883F);
  return {116.0F * y - 16.0F, 500.0F * (x - y), 200.0F * (y - z)};
}

ColourName name_of(const Lab& lab) noexcept {
  const float chroma = lab.chroma();
  const float hue = lab.hue();
  if (lab.l < 12 && chroma < 18) return ColourName::kBlack;
  if (chroma < neutral_limit(lab.l, hue)) return neutral(lab);
  if (hue < 12 || hue >= 335) return rose(lab, chroma);
  if (hue < 42) return red(lab, chroma, hue);
  if (hue < 82) return earth(lab, chroma, hue);
  if (hue < 112) return straw(lab, chroma);
  if (hue < 165) {
    return hue < 130 && lab.l < 45 && chroma < 32 ? ColourName::kOlive : ColourName::kGreen;
  }
  if (hue < 240) return ColourName::kTeal;
  if (hue < 310) return blue(lab, chroma);
  return lab.l < 65 ? ColourName::kPurple : ColourName::kPink;
}

}  // namespace itemcrop::taxonomy
