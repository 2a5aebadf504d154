#pragma once

#include <cstdint>
#include <vector>

#include "itemcrop/image.h"

namespace itemcrop::cli {

/// An image drawn by rule: a shirt and trousers, as plain shapes on a floor. It gives `doctor`
/// something to run that needs no file.
class TestImage {
 public:
  TestImage();
  ImageView view() const noexcept { return {pixels_.data(), kWidth, kHeight, 0}; }

  static constexpr int kWidth = 480;
  static constexpr int kHeight = 640;

 private:
  std::vector<std::uint8_t> pixels_;
};

}  // namespace itemcrop::cli
