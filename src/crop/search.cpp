#include "crop/search.h"

#include <algorithm>
#include <cstddef>
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

void add_planned(const Search& search, const DetectResult& detected, const ImageView& image,
                 const std::stop_token& stop, FoundItems& found) {
  const taxonomy::Plan& plan = *search.plan;
  taxonomy::Selection selection = taxonomy::select(plan, detected.detections);
  if (search.describe) taxonomy::describe(plan, image, selection, stop);
  for (taxonomy::Found& each : selection.found) {
    FoundItem item;
    item.detection = detected.detections[each.detection];
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

void add_own(const DetectResult& detected, FoundItems& found) {
  for (const Detection& detection : detected.detections) {
    FoundItem item;
    item.detection = detection;
    item.prompt = detection.item;
    item.description = detection.item;
    found.items.push_back(std::move(item));
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
    options.items = request.items;
    options.count_item = request.scoring.count;
    taxonomy::Plan plan = taxonomy::plan_crop(taxonomy, request.categories, options);
    plan.selection.nms_iou = request.scoring.nms_iou;
    plan.selection.containment = request.scoring.containment;
    if (!request.scoring.suppress) plan.selection = without_suppression(plan.selection);
    plan.best_first = request.order == Order::kBestFirst;
    search.items = plan.items;
    // The plan's threshold is the taxonomy's; that of the caller's own items may differ.
    for (std::size_t i = 0; i < search.items.size(); ++i) {
      Item& item = search.items[i];
      if (!plan.meanings[i].own && !item.threshold) item.threshold = plan.scoring.threshold;
    }
    search.scoring.count.reset();  // it counts boxes of a word, not of a kind
    if (request.items.empty()) search.scoring.threshold = plan.scoring.threshold;
    search.plan = std::move(plan);
  } else {
    search.items = request.items;
  }
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
  if (search.plan) {
    add_planned(search, detected, image, stop, found);
  } else {
    add_own(detected, found);
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
