#include "image/colour.h"

#include <string>

#include "image/load.h"

namespace itemcrop::image {
namespace {

/// Bands that carry colour; any further ones are alpha and extras. 0: not an accepted kind.
int colour_bands(const VipsImage* image) noexcept {
  switch (vips_image_get_interpretation(image)) {
    case VIPS_INTERPRETATION_B_W:
    case VIPS_INTERPRETATION_GREY16:
      return 1;
    case VIPS_INTERPRETATION_sRGB:
    case VIPS_INTERPRETATION_RGB:
    case VIPS_INTERPRETATION_RGB16:
      return 3;
    case VIPS_INTERPRETATION_CMYK:
      return 4;
    default:
      return 0;
  }
}

void require_known_samples(const VipsImage* image) {
  const VipsBandFormat format = vips_image_get_format(image);
  const int bands = colour_bands(image);
  const bool whole = format == VIPS_FORMAT_UCHAR || format == VIPS_FORMAT_USHORT;
  if (whole && vips_image_get_coding(image) == VIPS_CODING_NONE && bands > 0 &&
      bands <= vips_image_get_bands(image)) {
    return;
  }
  throw Error(ErrorCode::kUnsupportedImage,
              std::string("images of ") + vips_enum_nick(VIPS_TYPE_BAND_FORMAT, format) + ", " +
                  vips_enum_nick(VIPS_TYPE_INTERPRETATION, vips_image_get_interpretation(image)) +
                  " samples are not accepted; use grey, RGB or CMYK of 8 or 16 bits");
}

VipsImagePtr bands_of(VipsImage* image, int first, int count) {
  return run_vips(
      [&](VipsImage** out) { return vips_extract_band(image, out, first, "n", count, nullptr); });
}

/// Empty if there is no usable profile.
VipsImagePtr apply_profile(VipsImage* image, const Limits& limits) {
  const void* profile = nullptr;
  std::size_t size = 0;
  if (vips_image_get_typeof(image, VIPS_META_ICC_NAME) == 0 ||
      vips_image_get_blob(image, VIPS_META_ICC_NAME, &profile, &size) != 0 ||
      size > limits.max_metadata_bytes) {
    return nullptr;
  }
  return run_vips([&](VipsImage** out) {
    return vips_icc_transform(image, out, "srgb", "embedded", TRUE, "intent", VIPS_INTENT_RELATIVE,
                              "depth", 8, nullptr);
  });
}

VipsImagePtr colours_to_srgb(VipsImage* image, const Limits& limits, ImageFacts& facts) {
  if (VipsImagePtr profiled = apply_profile(image, limits)) {
    facts.had_profile = true;
    return profiled;
  }
  return run_vips([&](VipsImage** out) {
    return vips_colourspace(image, out, VIPS_INTERPRETATION_sRGB, nullptr);
  });
}

VipsImagePtr to_bytes(VipsImage* image) {
  return run_vips([&](VipsImage** out) {
    return vips_cast(image, out, VIPS_FORMAT_UCHAR, "shift", TRUE, nullptr);
  });
}

VipsImagePtr flatten(VipsImage* colours, VipsImage* alpha, const DecodeOptions& options) {
  const VipsImagePtr joined =
      run_vips([&](VipsImage** out) { return vips_bandjoin2(colours, alpha, out, nullptr); });
  if (!joined) return nullptr;
  double background[3];
  std::copy(options.background.begin(), options.background.end(), background);
  const std::unique_ptr<VipsArrayDouble, void (*)(VipsArrayDouble*)> array(
      vips_array_double_new(background, 3),
      [](VipsArrayDouble* owned) { vips_area_unref(VIPS_AREA(owned)); });
  return run_vips([&](VipsImage** out) {
    return vips_flatten(joined.get(), out, "background", array.get(), nullptr);
  });
}

}  // namespace

VipsImagePtr to_srgb(const VipsImagePtr& image, const DecodeOptions& options, const Limits& limits,
                     ImageFacts& facts) {
  require_known_samples(image.get());
  const int bands = colour_bands(image.get());
  facts.had_alpha = vips_image_get_bands(image.get()) > bands;

  // Alpha is kept apart: colour transforms of different libvips versions scale it differently.
  const VipsImagePtr stored = bands_of(image.get(), 0, bands);
  if (!stored) throw damaged(facts.format);
  const VipsImagePtr converted = colours_to_srgb(stored.get(), limits, facts);
  VipsImagePtr colours = converted ? to_bytes(converted.get()) : nullptr;
  if (colours && facts.had_alpha && options.alpha == AlphaMode::kFlatten) {
    const VipsImagePtr stored_alpha = bands_of(image.get(), bands, 1);
    const VipsImagePtr alpha = stored_alpha ? to_bytes(stored_alpha.get()) : nullptr;
    colours = alpha ? flatten(colours.get(), alpha.get(), options) : nullptr;
  }
  if (!colours) throw damaged(facts.format);
  return colours;
}

}  // namespace itemcrop::image
