#include "itemcrop/crop.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>

#include "itemcrop/error.h"

namespace itemcrop {
namespace {

constexpr double kMaxMargin = 10;

/// Half-open pixels along one axis.
struct Interval {
  int start = 0;
  int length = 0;
};

std::string describe(const Box& box) {
  return "(" + std::to_string(box.x0) + ", " + std::to_string(box.y0) + ", " +
         std::to_string(box.x1) + ", " + std::to_string(box.y1) + ")";
}

void require_valid(const Box& box, int width, int height, const CropRules& rules) {
  if (width < 1 || height < 1) {
    throw Error(ErrorCode::kInvalidArgument, "the image is empty (" + std::to_string(width) +
                                                 " x " + std::to_string(height) + ")");
  }
  if (!(rules.margin >= 0 && rules.margin <= kMaxMargin)) {
    throw Error(ErrorCode::kInvalidArgument,
                "margin is " + std::to_string(rules.margin) + "; it must be 0 to 10");
  }
  if (rules.min_size < 0) {
    throw Error(ErrorCode::kInvalidArgument,
                "min_size is " + std::to_string(rules.min_size) + "; it must not be negative");
  }
  const bool finite = std::isfinite(box.x0) && std::isfinite(box.y0) && std::isfinite(box.x1) &&
                      std::isfinite(box.y1);
  if (!finite || box.x1 < box.x0 || box.y1 < box.y0) {
    throw Error(ErrorCode::kInvalidArgument,
                "box " + describe(box) + " is not finite with x0 <= x1 and y0 <= y1");
  }
  if (box.x0 > static_cast<float>(width) || box.y0 > static_cast<float>(height) || box.x1 < 0 ||
      box.y1 < 0) {
    throw Error(ErrorCode::kInvalidArgument, "box " + describe(box) + " is outside the image of " +
                                                 std::to_string(width) + " x " +
                                                 std::to_string(height));
  }
}

/// Margin, outward rounding, clipping to [0, limit); at least one pixel.
Interval grow(double low, double high, double margin, int limit) {
  const double extra = (high - low) * margin;
  const double start = std::clamp(std::floor(low - extra), 0.0, limit - 1.0);
  const double end = std::clamp(std::ceil(high + extra), start + 1, static_cast<double>(limit));
  return {static_cast<int>(start), static_cast<int>(end - start)};
}

/// Extends to `length` about the centre (the odd pixel goes after), shifted to stay in [0, limit).
Interval extend(Interval interval, int length, int limit) {
  const int wanted = std::min(std::max(length, interval.length), limit);
  const int centred = interval.start - (wanted - interval.length) / 2;
  return {std::clamp(centred, 0, limit - wanted), wanted};
}

}  // namespace

PixelRect crop_rect(const Box& box, int width, int height, const CropRules& rules) {
  require_valid(box, width, height, rules);
  Interval x = grow(box.x0, box.x1, rules.margin, width);
  Interval y = grow(box.y0, box.y1, rules.margin, height);
  const int side = rules.square ? std::max(x.length, y.length) : 0;
  x = extend(x, std::max(side, rules.min_size), width);
  y = extend(y, std::max(side, rules.min_size), height);
  return {x.start, y.start, x.length, y.length};
}

ImageView sub_view(const ImageView& image, const PixelRect& rect) {
  if (image.pixels == nullptr) {
    throw Error(ErrorCode::kInvalidArgument, "the image has no pixels");
  }
  if (rect.width < 1 || rect.height < 1 || rect.x < 0 || rect.y < 0 ||
      rect.width > image.width - rect.x || rect.height > image.height - rect.y) {
    throw Error(ErrorCode::kInvalidArgument,
                std::to_string(rect.width) + " x " + std::to_string(rect.height) + " pixels at (" +
                    std::to_string(rect.x) + ", " + std::to_string(rect.y) +
                    ") leave the image of " + std::to_string(image.width) + " x " +
                    std::to_string(image.height));
  }
  const std::ptrdiff_t offset = rect.y * image.stride() + std::ptrdiff_t{3} * rect.x;
  return {image.pixels + offset, rect.width, rect.height, image.stride()};
}

ImageView crop_view(const ImageView& image, const Box& box, const CropRules& rules) {
  return sub_view(image, crop_rect(box, image.width, image.height, rules));
}

}  // namespace itemcrop
