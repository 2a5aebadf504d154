#include "items/suppression.h"

#include <algorithm>

namespace itemcrop::items {
namespace {

float area(const Box& box) noexcept {
  return std::max(box.width(), 0.0F) * std::max(box.height(), 0.0F);
}

float overlap_area(const Box& a, const Box& b) noexcept {
  return area(
      {std::max(a.x0, b.x0), std::max(a.y0, b.y0), std::min(a.x1, b.x1), std::min(a.y1, b.y1)});
}

}  // namespace

float intersection_over_union(const Box& a, const Box& b) noexcept {
  const float overlap = overlap_area(a, b);
  const float together = area(a) + area(b) - overlap;
  return together > 0 ? overlap / together : 0.0F;
}

float contained_share(const Box& inner, const Box& outer) noexcept {
  const float whole = area(inner);
  return whole > 0 ? overlap_area(inner, outer) / whole : 0.0F;
}

Box clamp_to_image(const Box& box, int width, int height) noexcept {
  const auto w = static_cast<float>(width);
  const auto h = static_cast<float>(height);
  return {std::clamp(box.x0, 0.0F, w), std::clamp(box.y0, 0.0F, h), std::clamp(box.x1, 0.0F, w),
          std::clamp(box.y1, 0.0F, h)};
}

std::vector<std::size_t> suppress(std::span<const Box> best_first, float nms_iou,
                                  float containment) {
  std::vector<std::size_t> kept;
  for (std::size_t i = 0; i < best_first.size(); ++i) {
    const bool covered = std::any_of(kept.begin(), kept.end(), [&](std::size_t better) {
      return intersection_over_union(best_first[i], best_first[better]) > nms_iou ||
             contained_share(best_first[i], best_first[better]) > containment;
    });
    if (!covered) kept.push_back(i);
  }
  return kept;
}

}  // namespace itemcrop::items
