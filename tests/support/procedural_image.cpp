#include "support/procedural_image.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "support/splitmix64.h"

namespace itemcrop::test {
namespace {

constexpr int kBlobs = 8;

/// A paraboloid bump: highest at its centre, zero outside its ellipse.
struct Blob {
  std::int64_t centre_x, centre_y, radius_x, radius_y;
  std::array<std::int64_t, 3> amplitude;  ///< in levels, per channel

  std::int64_t height_at(std::int64_t x, std::int64_t y) const {
    const std::int64_t dx = x - centre_x;
    const std::int64_t dy = y - centre_y;
    const std::int64_t bump =
        65536 - dx * dx * 65536 / (radius_x * radius_x) - dy * dy * 65536 / (radius_y * radius_y);
    return std::max<std::int64_t>(bump, 0);
  }
};

Blob make_blob(std::uint64_t seed, int index, std::int64_t width, std::int64_t height) {
  const auto draw = [&](int k, std::int64_t bound) {
    const auto step = static_cast<std::uint64_t>(16 * index + k + 1);
    const std::uint64_t bits = splitmix64(seed + kGoldenGamma * step);
    return static_cast<std::int64_t>(bits % static_cast<std::uint64_t>(bound));
  };
  return {.centre_x = draw(0, width),
          .centre_y = draw(1, height),
          .radius_x = 2 + width / 16 + draw(2, width / 4 + 1),
          .radius_y = 2 + height / 16 + draw(3, height / 4 + 1),
          .amplitude = {draw(4, 281) - 140, draw(5, 281) - 140, draw(6, 281) - 140}};
}

}  // namespace

Image procedural_image(std::uint64_t seed, int width, int height) {
  std::array<Blob, kBlobs> blobs;
  for (int b = 0; b < kBlobs; ++b) {
    blobs[static_cast<std::size_t>(b)] = make_blob(seed, b, width, height);
  }
  Image image{width, height, {}};
  image.pixels.reserve(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3);
  std::uint64_t noise_state = splitmix64(seed);
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      std::array<std::int64_t, 3> value;
      for (std::size_t c = 0; c < 3; ++c) {
        const auto channel = static_cast<std::int64_t>(c);
        value[c] = 30 + x * (90 + 40 * channel) / width + y * (120 - 50 * channel) / height;
      }
      for (const Blob& blob : blobs) {
        const std::int64_t bump = blob.height_at(x, y);
        for (std::size_t c = 0; c < 3; ++c) value[c] += (bump * blob.amplitude[c]) >> 16;
      }
      for (const std::int64_t level : value) {
        const auto noise = static_cast<std::int64_t>(splitmix64(noise_state) >> 60) - 8;
        noise_state += kGoldenGamma;
        image.pixels.push_back(
            static_cast<std::uint8_t>(std::clamp<std::int64_t>(level + noise, 0, 255)));
      }
    }
  }
  return image;
}

}  // namespace itemcrop::test
