#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "itemcrop/image.h"

namespace itemcrop::items {

/// Area of overlap over area of union, in [0, 1]; 0 when both boxes are empty.
float intersection_over_union(const Box& a, const Box& b) noexcept;

/// Share of `inner`'s area that lies inside `outer`, in [0, 1]; 0 when `inner` is empty.
float contained_share(const Box& inner, const Box& outer) noexcept;

/// The part of a box inside a width x height image.
Box clamp_to_image(const Box& box, int width, int height) noexcept;

/// Greedy suppression among the boxes of one item, given best first. A box is dropped when a kept
/// one before it overlaps it by more than `nms_iou` (IoU), or holds more than `containment` of its
/// area. Returns the kept positions, ascending, so equal scores are decided by the caller's order.
/// O(n²); n is at most the model's queries, because an item lives in one pass.
std::vector<std::size_t> suppress(std::span<const Box> best_first, float nms_iou,
                                  float containment);

}  // namespace itemcrop::items
