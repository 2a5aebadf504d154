#include "image/decode.h"

#include <thread>

#include <gtest/gtest.h>

#include "image/encode.h"
#include "unit/image/test_images.h"

namespace itemcrop::image {
namespace {

using namespace testing;

TEST(Decode, ReadsEveryFormatToTheSamePixels) {
  const Pattern pattern = make_pattern(64, 48);
  for (const Sample& sample : samples()) {
    SCOPED_TRACE(sample.name);
    const Image image = decode(save(pattern, sample.suffix));
    EXPECT_LE(max_difference(image.view(), view_of(pattern)), sample.tolerance);
    EXPECT_EQ(image.facts().stored_width, 64);
    EXPECT_EQ(image.facts().stored_height, 48);
    EXPECT_EQ(image.facts().frames, 1);
    EXPECT_FALSE(image.facts().oriented);
    EXPECT_FALSE(image.facts().had_alpha);
  }
}

TEST(Decode, NamesTheFormatByContent) {
  const Pattern pattern = make_pattern(16, 16);
  const auto format_of = [&](const std::string& suffix) {
    return to_string(decode(save(pattern, suffix)).facts().format);
  };
  EXPECT_EQ(format_of(".jpg"), "jpeg");
  EXPECT_EQ(format_of(".png"), "png");
  EXPECT_EQ(format_of(".webp"), "webp");
  EXPECT_EQ(format_of(".tif"), "tiff");
  EXPECT_EQ(format_of(".gif"), "gif");
  for (const std::string suffix : {".avif", ".heic"}) {
    if (can_save(suffix)) {
      EXPECT_EQ(format_of(suffix), suffix.substr(1));
    }
  }
}

TEST(Decode, HeifSupportIsReportedAsTheLoaderHasIt) {
  EXPECT_TRUE(can_decode(SourceFormat::kJpeg));
  if (can_save(".avif")) {
    EXPECT_TRUE(can_decode(SourceFormat::kAvif));
  }
}

TEST(Decode, AppliesEveryOrientationOfEveryFormatThatStoresOne) {
  const Pattern upright = make_pattern(64, 40);
  for (const Sample& sample : samples()) {
    // GIF stores none; HEIF turns the image by its own boxes and forbids applying EXIF.
    if (sample.name == "gif" || sample.name == "avif" || sample.name == "heic") continue;
    for (int orientation = 1; orientation <= 8; ++orientation) {
      SCOPED_TRACE(sample.name + " " + std::to_string(orientation));
      const Image image = decode(save_oriented(upright, orientation, sample.suffix));
      EXPECT_LE(max_difference(image.view(), view_of(upright)), sample.tolerance);
      EXPECT_EQ(image.facts().oriented, orientation != 1);
      EXPECT_EQ(image.facts().stored_width, orientation >= 5 ? 40 : 64);
    }
  }
}

TEST(Decode, OrientationBlockOverTheLimitIsDropped) {
  for (const char* suffix : {".png", ".webp[lossless]"}) {
    const File file = save_oriented(make_pattern(32, 16), 6, suffix);
    EXPECT_EQ(decode(file).width(), 32) << suffix;
    const Image image = decode(file, {}, {.max_metadata_bytes = 8});
    EXPECT_EQ(image.width(), 16) << suffix;
    EXPECT_FALSE(image.facts().oriented) << suffix;
  }
}

TEST(Decode, SpreadsGreyOverThreeBands) {
  std::vector<std::uint8_t> grey(32 * 16);
  for (std::size_t i = 0; i < grey.size(); ++i) grey[i] = static_cast<std::uint8_t>(i / 2);
  const VipsImagePtr image = to_vips(grey, 32, 16, 1);
  for (const char* suffix : {".png", ".tif", ".webp[lossless]", ".jpg[Q=100]"}) {
    SCOPED_TRACE(suffix);
    const Image decoded = decode(save(image.get(), suffix));
    for (std::size_t i = 0; i < grey.size(); ++i) {
      for (std::size_t band = 0; band < 3; ++band) {
        ASSERT_NEAR(decoded.view().pixels[3 * i + band], grey[i], 3) << i;
      }
    }
  }
}

TEST(Decode, ReducesSixteenBitsToTheHighByte) {
  const Pattern pattern = make_pattern(32, 24);
  const VipsImagePtr colour = to_16_bit(to_vips(pattern).get());
  for (const char* suffix : {".png", ".tif", ".tif[compression=lzw]"}) {
    EXPECT_EQ(max_difference(decode(save(colour.get(), suffix)).view(), view_of(pattern)), 0)
        << suffix;
  }
  const std::vector<std::uint8_t> grey(16 * 8, 77);
  const Image image = decode(save(to_16_bit(to_vips(grey, 16, 8, 1).get()).get(), ".png"));
  EXPECT_EQ(image.view().pixels[0], 77);
  EXPECT_EQ(image.view().pixels[2], 77);
}

TEST(Decode, ReadsPalettes) {
  std::vector<std::uint8_t> pixels;
  for (int i = 0; i < 64 * 32; ++i) {
    const bool red = (i / 8) % 2 == 0;
    pixels.insert(pixels.end(), {std::uint8_t(red ? 200 : 10), 40, std::uint8_t(red ? 30 : 220)});
  }
  const Pattern pattern{64, 32, pixels};
  for (const char* suffix : {".png[palette,Q=100,dither=0]", ".gif[dither=0]"}) {
    EXPECT_LE(max_difference(decode(save(pattern, suffix)).view(), view_of(pattern)), 4) << suffix;
  }
}

TEST(Decode, ReadsOneBitImages) {
  std::vector<std::uint8_t> pixels;
  for (int i = 0; i < 32 * 32; ++i) pixels.push_back(i % 5 == 0 ? 255 : 0);
  const VipsImagePtr image = to_vips(pixels, 32, 32, 1);
  for (const char* suffix :
       {".png[bitdepth=1]", ".tif[bitdepth=1]", ".tif[bitdepth=1,compression=ccittfax4]",
        ".tif[bitdepth=1,miniswhite]"}) {
    const Image decoded = decode(save(image.get(), suffix));
    for (std::size_t i = 0; i < pixels.size(); ++i) {
      ASSERT_EQ(decoded.view().pixels[3 * i], pixels[i]) << suffix << " " << i;
    }
  }
}

/// A 3 x 1 row: opaque red, half-transparent blue, fully transparent green.
VipsImagePtr transparent_row() {
  return to_vips({200, 0, 0, 255, 0, 0, 200, 128, 0, 200, 0, 0}, 3, 1, 4);
}

TEST(Decode, FlattensAlphaOverTheBackground) {
  for (const char* suffix : {".png", ".tif"}) {
    SCOPED_TRACE(suffix);
    const Image white = decode(save(transparent_row().get(), suffix));
    EXPECT_TRUE(white.facts().had_alpha);
    const Pattern expected{3, 1, {200, 0, 0, 127, 127, 227, 255, 255, 255}};
    EXPECT_LE(max_difference(white.view(), view_of(expected)), 1);

    const Image orange =
        decode(save(transparent_row().get(), suffix), {.background = {255, 128, 0}});
    const Pattern on_orange{3, 1, {200, 0, 0, 127, 64, 100, 255, 128, 0}};
    EXPECT_LE(max_difference(orange.view(), view_of(on_orange)), 1);
  }
}

TEST(Decode, DropsAlphaOnRequest) {
  const Image image = decode(save(transparent_row().get(), ".png"), {.alpha = AlphaMode::kDrop});
  const Pattern expected{3, 1, {200, 0, 0, 0, 0, 200, 0, 200, 0}};
  EXPECT_EQ(max_difference(image.view(), view_of(expected)), 0);
  EXPECT_TRUE(image.facts().had_alpha);
}

TEST(Decode, FlattensSixteenBitAndGreyAlpha) {
  const VipsImagePtr wide = to_16_bit(transparent_row().get());
  const Pattern expected{3, 1, {200, 0, 0, 127, 127, 227, 255, 255, 255}};
  EXPECT_LE(max_difference(decode(save(wide.get(), ".png")).view(), view_of(expected)), 1);

  const VipsImagePtr grey = to_vips({10, 255, 10, 0}, 2, 1, 2);
  const Pattern grey_expected{2, 1, {10, 10, 10, 255, 255, 255}};
  EXPECT_LE(max_difference(decode(save(grey.get(), ".png")).view(), view_of(grey_expected)), 1);
}

VipsImagePtr with_profile(VipsImage* image, const char* profile) {
  return run_vips([&](VipsImage** out) {
    return vips_icc_transform(image, out, profile, "input_profile", "srgb", nullptr);
  });
}

TEST(Decode, ConvertsEmbeddedProfilesToSrgb) {
  const Pattern pattern = make_pattern(32, 32);
  const VipsImagePtr p3 = with_profile(to_vips(pattern).get(), "p3");
  ASSERT_NE(p3, nullptr);
  for (const char* suffix : {".png", ".tif", ".webp[lossless]"}) {
    SCOPED_TRACE(suffix);
    const File file = save(p3.get(), suffix);
    const Image converted = decode(file);
    EXPECT_TRUE(converted.facts().had_profile);
    EXPECT_LE(max_difference(converted.view(), view_of(pattern)), 3);

    const Image raw = decode(file, {}, {.max_metadata_bytes = 100});
    EXPECT_FALSE(raw.facts().had_profile);
    EXPECT_GT(max_difference(raw.view(), view_of(pattern)), 8);
  }
}

TEST(Decode, ConvertsProfiledSixteenBitAndAlpha) {
  const Pattern pattern = make_pattern(32, 32);
  const VipsImagePtr p3 = with_profile(to_vips(pattern).get(), "p3");
  const VipsImagePtr wide = to_16_bit(p3.get());
  // lcms interpolates 16-bit transforms, which shows at the edge of the gamut.
  EXPECT_LE(max_difference(decode(save(wide.get(), ".png")).view(), view_of(pattern)), 8);
  const VipsImagePtr opaque =
      run_vips([&](VipsImage** out) { return vips_addalpha(p3.get(), out, nullptr); });
  const Image image = decode(save(opaque.get(), ".png"));
  EXPECT_TRUE(image.facts().had_alpha);
  EXPECT_LE(max_difference(image.view(), view_of(pattern)), 3);
}

TEST(Decode, IgnoresBrokenAndMismatchedProfiles) {
  const Pattern pattern = make_pattern(24, 24);
  const VipsImagePtr broken = to_vips(pattern);
  const std::string garbage(2000, 'x');
  vips_image_set_blob_copy(broken.get(), VIPS_META_ICC_NAME, garbage.data(), garbage.size());
  // TIFF stores the profile as it is, whatever its content.
  const Image image = decode(save(broken.get(), ".tif"));
  EXPECT_EQ(max_difference(image.view(), view_of(pattern)), 0);

  const VipsImagePtr p3 = with_profile(to_vips(pattern).get(), "p3");
  const void* profile = nullptr;
  std::size_t size = 0;
  ASSERT_EQ(vips_image_get_blob(p3.get(), VIPS_META_ICC_NAME, &profile, &size), 0);
  const VipsImagePtr grey = to_vips(std::vector<std::uint8_t>(64, 99), 8, 8, 1);
  vips_image_set_blob_copy(grey.get(), VIPS_META_ICC_NAME, profile, size);
  EXPECT_EQ(decode(save(grey.get(), ".tif")).view().pixels[0], 99);
}

TEST(Decode, ConvertsCmykWithAndWithoutProfile) {
  // Muted colours: ink cannot print the pattern's bright corners.
  Pattern pattern = make_pattern(32, 32);
  for (std::uint8_t& sample : pattern.pixels) sample = static_cast<std::uint8_t>(90 + sample / 4);
  const VipsImagePtr cmyk = with_profile(to_vips(pattern).get(), "cmyk");
  ASSERT_NE(cmyk, nullptr);
  ASSERT_EQ(vips_image_get_bands(cmyk.get()), 4);
  for (const char* suffix : {".jpg[Q=100]", ".tif"}) {
    SCOPED_TRACE(suffix);
    const Image profiled = decode(save(cmyk.get(), suffix));
    EXPECT_TRUE(profiled.facts().had_profile);
    EXPECT_LE(max_difference(profiled.view(), view_of(pattern)), 20);
    const Image plain = decode(save(cmyk.get(), suffix), {}, {.max_metadata_bytes = 100});
    EXPECT_FALSE(plain.facts().had_profile);
    EXPECT_LE(max_difference(plain.view(), view_of(pattern)), 20);
  }
}

TEST(Decode, RefusesSamplesThatAreNotWholeBytes) {
  const VipsImagePtr image = to_vips(make_pattern(16, 16));
  for (const VipsBandFormat format : {VIPS_FORMAT_FLOAT, VIPS_FORMAT_UINT}) {
    const VipsImagePtr cast =
        run_vips([&](VipsImage** out) { return vips_cast(image.get(), out, format, nullptr); });
    const File file = save(cast.get(), ".tif");
    EXPECT_EQ(error_code([&] { decode(file); }), ErrorCode::kUnsupportedImage) << format;
  }
}

TEST(Decode, TakesTheFirstFrameOfAnimations) {
  const Pattern first = make_pattern(16, 16);
  std::vector<std::uint8_t> strip = first.pixels;
  for (int frame = 1; frame < 4; ++frame) {
    strip.insert(strip.end(), 16 * 16 * 3, static_cast<std::uint8_t>(60 * frame));
  }
  const VipsImagePtr image = to_vips(strip, 16, 64, 3);
  vips_image_set_int(image.get(), VIPS_META_PAGE_HEIGHT, 16);
  for (const auto& [suffix, tolerance] :
       {std::pair(".gif[dither=0]", 40), {".webp[lossless]", 0}, {".tif", 0}}) {
    SCOPED_TRACE(suffix);
    const Image decoded = decode(save(image.get(), suffix));
    EXPECT_EQ(decoded.facts().frames, 4);
    EXPECT_LE(max_difference(decoded.view(), view_of(first)), tolerance);
  }
}

TEST(Decode, GivesTheSamePixelsFromManyThreads) {
  const File file = save(make_pattern(200, 150), ".jpg");
  const Image alone = decode(file);
  std::vector<int> differences(8, -1);
  std::vector<std::thread> threads;
  for (int& difference : differences) {
    threads.emplace_back([&] {
      int worst = 0;
      for (int i = 0; i < 10; ++i) {
        worst = std::max(worst, max_difference(decode(file).view(), alone.view()));
      }
      difference = worst;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(differences, std::vector<int>(8, 0));
}

}  // namespace
}  // namespace itemcrop::image
