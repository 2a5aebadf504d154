#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "itemcrop/image.h"

namespace itemcrop::taxonomy {

/// Names of the fashion vocabulary.
enum class ColourName {
  kBlack,
  kWhite,
  kGrey,
  kNavy,
  kBlue,
  kLightBlue,
  kTeal,
  kRed,
  kBurgundy,
  kPink,
  kPurple,
  kGreen,
  kOlive,
  kKhaki,
  kBeige,
  kCream,
  kBrown,
  kTan,
  kOrange,
  kYellow,
  kGold,
  kSilver,
  kMulticolour,
};

/// "light blue".
std::string_view to_string(ColourName name) noexcept;

/// CIE L*a*b*, D65, 2 degree observer: lightness 0 to 100, a and b about -110 to 110.
struct Lab {
  float l = 0, a = 0, b = 0;

  float chroma() const noexcept;
  float hue() const noexcept;  ///< degrees, 0 to 360
};

Lab lab_of_srgb(unsigned char r, unsigned char g, unsigned char b) noexcept;

/// The name of one flat colour; never gold, silver or multicolour.
ColourName name_of(const Lab& lab) noexcept;

struct ColourOptions {
  bool metallic = false;  ///< name yellows gold and greys silver
  int samples = 64;       ///< the box is looked at as at most samples x samples points; 8 to 512
};

struct ColourShare {
  ColourName name = ColourName::kGrey;
  float share = 0;  ///< of the garment's weight, in [0, 1]
};

struct ColourEstimate {
  ColourName name = ColourName::kGrey;
  Lab lab;                          ///< of the largest part
  float confidence = 0;             ///< share of the garment that is called `name`, in [0, 1]
  std::vector<ColourShare> shares;  ///< every name, largest first
};

/// The colour of what is in the box. Points near the box' centre count more, points that look like
/// the ring around the box count less. Cost does not depend on the image's size. Throws
/// Error(kInvalidArgument): an empty view, a box that is not finite or does not touch the image,
/// options out of range.
ColourEstimate estimate_colour(const ImageView& image, const Box& box,
                               const ColourOptions& options = {});

/// "navy" and "blazer" give "navy blazer"; a kind that already names a colour is left alone ("red
/// dress" stays), and an empty kind gives the colour alone.
std::string describe(ColourName colour, std::string_view kind);

}  // namespace itemcrop::taxonomy
