#pragma once

#include <optional>
#include <span>
#include <vector>

#include "itemcrop/items.h"

#include "items/scoring.h"

namespace itemcrop::items {

/// A query's claim that its box shows an item.
struct Claim {
  int pass = 0;
  int query = 0;
  int item = -1;       ///< index into the request's items
  float evidence = 0;  ///< mean probability over the item's span: decides between items
  float score = 0;     ///< maximum over the span: what thresholds and users see
  Box box;             ///< pixels
};

/// The box of a query in pixels of a width x height image, unclamped; none if it is not finite.
std::optional<Box> query_box(const PassOutput& output, int query, int width, int height);

/// One pass' claims above their items' thresholds (distractors' too), in query order.
std::vector<Claim> claims_of_pass(const PassOutput& output, int pass, std::span<const Item> items,
                                  int width, int height, float default_threshold);

/// Drops claims that another pass' stronger claim contests (IoU >= kSameObjectIou). Returns the
/// survivors, strongest evidence first; equal evidence: lower item, then lower query.
/// O(n * survivors).
std::vector<Claim> settle_between_passes(std::vector<Claim> claims);

/// Best score of every item for one query: the maximum over the item's spans. Items of other
/// passes are left as they are. `scores` has one entry an item.
void add_query_scores(const PassOutput& output, int query, std::span<float> scores);

/// Every item's score for a box of `pass`/`query`, see Detection::scores. `pass_boxes` holds, for
/// each pass, each query's clamped box (an empty box where it is not finite).
std::vector<float> scores_across_passes(std::span<const PassOutput> passes,
                                        std::span<const std::vector<Box>> pass_boxes, int pass,
                                        int query, const Box& box, std::size_t item_count);

}  // namespace itemcrop::items
