#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "itemcrop/image.h"
#include "itemcrop/model.h"

#include "crop/request.h"
#include "crop/result.h"
#include "taxonomy/plan.h"

namespace itemcrop::crop {

/// What the detector is asked, and how to read its result. Plain data; made once, it serves any
/// number of images.
struct Search {
  std::vector<Item> items;  ///< the plan's, else the caller's own
  ScoringOptions scoring;
  std::optional<taxonomy::Plan> plan;  ///< of categories and items; none: no categories
  Order order = Order::kBestFirst;
  bool describe = false;
};

/// Throws Error: kInvalidArgument, kLimitExceeded, as taxonomy::plan_crop.
Search plan_search(const Request& request, const taxonomy::Taxonomy& taxonomy);

/// A search for what a plan names, each with its description, in the plan's order.
Search search_of(taxonomy::Plan plan);

struct FoundItems {
  std::vector<FoundItem> items;        ///< without crops
  std::vector<std::string> not_found;  ///< the caller's words
};

/// Reads the detector's result in the caller's terms: one garment is one item, whatever prompts
/// found it. `image` is what `detected` was found in. Throws Error(kCancelled).
FoundItems select_items(const Search& search, const DetectResult& detected, const ImageView& image,
                        const std::stop_token& stop = {});

}  // namespace itemcrop::crop
