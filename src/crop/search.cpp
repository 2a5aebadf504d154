#include "crop/search.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>

#include "core/stop.h"

namespace itemcrop::crop {
namespace {

/// Every box stands for itself: nothing is taken for a duplicate or a part of another.
taxonomy::SelectionOptions without_suppression(taxonomy::SelectionOptions options) {
  options.same_object_iou = 1;
  options.nms_iou = 1;
  options.containment = 1;
  return options;
}

bool is_of(const Detection& detection, std::size_t item) {
  return detection.item_index >= 0 && static_cast<std::size_t>(detection.item_index) == item;
}

/// LabelMode::kTokens has no items, and then there is no plan.
bool is_planned(const Search& search, const Detection& detection) {
  return search.plan && detection.item_index >= 0 &&
         static_cast<std::size_t>(detection.item_index) < search.plan->items.size();
}

void add_planned(const Search& search, const DetectResult& detected, const ImageView& image,
                 const std::stop_token& stop, FoundItems& found) {
  const taxonomy::Plan& plan = *search.plan;
  std::vector<Detection> planned;
  std::copy_if(detected.detections.begin(), detected.detections.end(), std::back_inserter(planned),
               [&](const Detection& each) { return is_planned(search, each); });
  taxonomy::Selection selection = taxonomy::select(plan, planned);
  if (search.describe) taxonomy::describe(plan, image, selection, stop);
  for (taxonomy::Found& each : selection.found) {
    FoundItem item;
    item.detection = planned[each.detection];
    item.detection.item = plan.targets[each.target].word;
    item.detection.item_index = static_cast<int>(each.item);
    item.detection.score = each.score;
    item.detection.box = each.box;
    item.category = std::move(each.category);
    item.prompt = std::move(each.prompt);
    item.description = std::move(each.description);
    found.items.push_back(std::move(item));
  }
  found.not_found = std::move(selection.not_found);
}

void add_own(const Search& search, const DetectResult& detected, FoundItems& found) {
  for (const Detection& detection : detected.detections) {
    if (is_planned(search, detection)) continue;
    FoundItem item;
    item.detection = detection;
    item.prompt = detection.item;
    item.description = detection.item;
    found.items.push_back(std::move(item));
  }
}

/// The caller's own items behind a plan's.
void add_own_not_found(const Search& search, const DetectResult& detected, FoundItems& found) {
  for (std::size_t i = search.plan->items.size(); i < search.items.size(); ++i) {
    const bool has_any = std::any_of(detected.detections.begin(), detected.detections.end(),
                                     [i](const Detection& each) { return is_of(each, i); });
    if (!has_any && !search.items[i].distractor) {
      found.not_found.push_back(search.items[i].prompt);
    }
  }
}

}  // namespace

Search plan_search(const Request& request, const taxonomy::Taxonomy& taxonomy) {
  Search search;
  search.scoring = request.scoring;
  search.order = request.order;
  search.describe = request.describe;
  if (!request.categories.empty()) {
    taxonomy::CropPlanOptions options;
    options.threshold = request.threshold;
    options.count_each = request.count_each;
    options.count = request.count_in_all;
    taxonomy::Plan plan = taxonomy::plan_crop(taxonomy, request.categories, options);
    plan.selection.nms_iou = request.scoring.nms_iou;
    plan.selection.containment = request.scoring.containment;
    if (!request.scoring.suppress) plan.selection = without_suppression(plan.selection);
    plan.best_first = request.order == Order::kBestFirst;
    search.items = plan.items;
    // The plan's threshold is the taxonomy's; that of the caller's own items may differ.
    for (Item& item : search.items) {
      if (!item.threshold) item.threshold = plan.scoring.threshold;
    }
    if (request.items.empty()) {
      search.scoring.threshold = plan.scoring.threshold;
      search.scoring.count.reset();  // it counts boxes of a word, not of a kind
    }
    search.plan = std::move(plan);
  }
  search.items.insert(search.items.end(), request.items.begin(), request.items.end());
  return search;
}

Search search_of(taxonomy::Plan plan) {
  Search search;
  search.items = plan.items;
  search.scoring = plan.scoring;
  search.order = Order::kAsAsked;
  search.describe = true;
  search.plan = std::move(plan);
  return search;
}

FoundItems select_items(const Search& search, const DetectResult& detected, const ImageView& image,
                        const std::stop_token& stop) {
  FoundItems found;
  if (search.plan) add_planned(search, detected, image, stop, found);
  add_own(search, detected, found);
  if (search.plan) {
    add_own_not_found(search, detected, found);
  } else {
    found.not_found = detected.not_found;
  }
  if (search.order == Order::kBestFirst) {
    std::stable_sort(found.items.begin(), found.items.end(),
                     [](const FoundItem& a, const FoundItem& b) {
                       return a.detection.score > b.detection.score;
                     });
  }
  return found;
}

}  // namespace itemcrop::crop
