#include <chrono>
#include <thread>

#include <gtest/gtest.h>

#include "image/decoder.h"
#include "support/cpu_time.h"
#include "support/expect_error.h"
#include "unit/image/test_images.h"

namespace itemcrop::image::testing {
namespace {

using std::chrono::milliseconds;
using test::expect_error;

struct Kind {
  std::string name;
  std::string suffix;
};

class DecodeStops : public ::testing::TestWithParam<Kind> {};

/// A large file of one kind.
File large(const std::string& suffix, int side = 4'000) {
  std::vector<std::uint8_t> pixels(std::size_t{3} * side * side);
  std::uint32_t state = 1;
  for (std::uint8_t& value : pixels) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<std::uint8_t>(state >> 26U);
  }
  return save(to_vips(pixels, side, side, 3).get(), suffix);
}

TEST_P(DecodeStops, SoonAfterNobodyWaits) {
  const File file = large(GetParam().suffix);
  Limits limits;
  limits.max_bytes = file.size();
  for (const int delay : {0, 20, 100}) {
    std::stop_source source;
    std::chrono::nanoseconds stopped{};
    std::jthread stopper([&] {
      std::this_thread::sleep_for(milliseconds(delay));
      stopped = test::cpu_time();
      source.request_stop();
    });
    expect_error(ErrorCode::kCancelled, "nobody waits", [&] {
      for (int i = 0; i < 100; ++i) decode(file, {}, limits, source.get_token());
    });
    stopper.join();
    EXPECT_LT(test::cpu_time() - stopped, milliseconds(200)) << delay;
  }
  EXPECT_EQ(decode(file, {}, limits, std::stop_source().get_token()).width(), 4'000)
      << "a token that does not stop changes nothing";
}

INSTANTIATE_TEST_SUITE_P(Formats, DecodeStops,
                         ::testing::Values(Kind{"jpeg", ".jpg"},
                                           Kind{"progressive_jpeg", ".jpg[interlace]"},
                                           Kind{"png", ".png[compression=1]"},
                                           Kind{"interlaced_png", ".png[compression=1,interlace]"},
                                           Kind{"tiff", ".tif[compression=deflate]"}),
                         [](const auto& tested) { return tested.param.name; });

class WholeDecodeStops : public ::testing::TestWithParam<Kind> {};

TEST_P(WholeDecodeStops, AtTheEndOfTheImage) {
  const File file = large(GetParam().suffix, 400);
  const auto begin = test::cpu_time();
  decode(file);
  const auto once = test::cpu_time() - begin;
  std::stop_source source;
  std::chrono::nanoseconds stopped{};
  std::jthread stopper([&] {
    std::this_thread::sleep_for(milliseconds(50));
    stopped = test::cpu_time();
    source.request_stop();
  });
  expect_error(ErrorCode::kCancelled, "nobody waits", [&] {
    for (int i = 0; i < 10'000; ++i) decode(file, {}, {}, source.get_token());
  });
  stopper.join();
  EXPECT_LT(test::cpu_time() - stopped, 2 * once + milliseconds(200));
}

/// Formats that one call of their library decodes whole.
std::vector<Kind> whole_kinds() {
  std::vector<Kind> kinds = {{"webp", ".webp[effort=0]"}, {"gif", ".gif[dither=0,effort=1]"}};
  for (const Kind& kind : {Kind{"heic", ".heic[effort=0]"}, Kind{"avif", ".avif[effort=0]"}}) {
    if (can_save(kind.suffix)) kinds.push_back(kind);
  }
  return kinds;
}

INSTANTIATE_TEST_SUITE_P(Formats, WholeDecodeStops, ::testing::ValuesIn(whole_kinds()),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace itemcrop::image::testing
