#include <algorithm>
#include <numeric>
#include <optional>

#include "items/suppression.h"
#include "taxonomy/colour.h"
#include "taxonomy/plan.h"

namespace itemcrop::taxonomy {
namespace {

bool shares_target(const PlannedItem& a, const PlannedItem& b) {
  return std::any_of(a.targets.begin(), a.targets.end(), [&](std::size_t target) {
    return std::find(b.targets.begin(), b.targets.end(), target) != b.targets.end();
  });
}

bool covers(const Plan& plan, const PlannedItem& whole, const PlannedItem& part) {
  if (!whole.category || !part.category || *whole.category >= plan.covers.size()) return false;
  const std::vector<std::size_t>& covered = plan.covers[*whole.category];
  return std::find(covered.begin(), covered.end(), *part.category) != covered.end();
}

/// Whether a box shows what a better one shows already.
bool duplicates(const Plan& plan, const Detection& weaker, const Detection& better) {
  const SelectionOptions& options = plan.selection;
  const PlannedItem& a = plan.meanings[static_cast<std::size_t>(better.item_index)];
  const PlannedItem& b = plan.meanings[static_cast<std::size_t>(weaker.item_index)];
  const float iou = items::intersection_over_union(weaker.box, better.box);
  if (iou > options.same_object_iou) return true;
  const bool weaker_inside = items::contained_share(weaker.box, better.box) > options.containment;
  const bool better_inside = items::contained_share(better.box, weaker.box) > options.containment;
  const bool same_category =
      a.category && b.category ? *a.category == *b.category : shares_target(a, b);
  if (same_category && a.layer == b.layer) {
    return iou > options.nms_iou || weaker_inside || better_inside;
  }
  return (covers(plan, a, b) && weaker_inside) || (covers(plan, b, a) && better_inside);
}

/// Positions of the usable detections, best first, each thing once.
std::vector<std::size_t> distinct(const Plan& plan, std::span<const Detection> detections) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < detections.size(); ++i) {
    const int item = detections[i].item_index;
    if (item < 0 || static_cast<std::size_t>(item) >= plan.meanings.size()) continue;
    if (!plan.meanings[static_cast<std::size_t>(item)].targets.empty()) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return detections[a].score > detections[b].score;
  });
  std::vector<std::size_t> kept;
  for (const std::size_t i : order) {
    const bool known = std::any_of(kept.begin(), kept.end(), [&](std::size_t better) {
      return duplicates(plan, detections[i], detections[better]);
    });
    if (!known) kept.push_back(i);
  }
  return kept;
}

/// Hands boxes to targets, best first; a word that means less ("blazer") comes before one that
/// means more ("tops").
class Assignment {
 public:
  explicit Assignment(const Plan& plan)
      : plan_(plan), taken_(plan.targets.size(), 0), breadth_(plan.targets.size(), 0) {
    for (const PlannedItem& item : plan.meanings) {
      for (const std::size_t target : item.targets) ++breadth_[target];
    }
  }

  /// The target that a box of an item goes to; none: all of them have their share.
  std::optional<std::size_t> take(std::size_t item, bool beyond_quota) {
    std::optional<std::size_t> best;
    for (const std::size_t target : plan_.meanings[item].targets) {
      const int quota = plan_.targets[target].quota;
      if (!beyond_quota && quota != 0 && taken_[target] >= quota) continue;
      if (!best || breadth_[target] < breadth_[*best]) best = target;
    }
    if (best) ++taken_[*best];
    return best;
  }

  bool has_any(std::size_t target) const { return taken_[target] > 0; }

 private:
  const Plan& plan_;
  std::vector<int> taken_;
  std::vector<std::size_t> breadth_;
};

Found found_of(const Plan& plan, std::span<const Detection> detections, std::size_t index,
               std::size_t target) {
  const Detection& detection = detections[index];
  const auto item = static_cast<std::size_t>(detection.item_index);
  Found found;
  found.target = target;
  found.item = item;
  found.detection = index;
  found.category = plan.targets[target].category;
  found.prompt = plan.items[item].prompt;
  found.kind =
      plan.meanings[item].kind.empty() ? plan.targets[target].noun : plan.meanings[item].kind;
  found.description = plan.targets[target].description;
  found.score = detection.score;
  found.box = detection.box;
  return found;
}

}  // namespace

Selection select(const Plan& plan, std::span<const Detection> detections) {
  Selection selection;
  Assignment assignment(plan);
  std::vector<std::size_t> left;
  for (const std::size_t i : distinct(plan, detections)) {
    const auto item = static_cast<std::size_t>(detections[i].item_index);
    if (const auto target = assignment.take(item, false)) {
      selection.found.push_back(found_of(plan, detections, i, *target));
    } else {
      left.push_back(i);
    }
  }
  left.resize(std::min(left.size(), plan.extra));
  for (const std::size_t i : left) {
    const auto item = static_cast<std::size_t>(detections[i].item_index);
    if (const auto target = assignment.take(item, true)) {
      selection.found.push_back(found_of(plan, detections, i, *target));
    }
  }
  for (std::size_t target = 0; target < plan.targets.size(); ++target) {
    if (!assignment.has_any(target)) selection.not_found.push_back(plan.targets[target].word);
  }
  std::stable_sort(selection.found.begin(), selection.found.end(),
                   [&](const Found& a, const Found& b) {
                     if (!plan.best_first && a.target != b.target) return a.target < b.target;
                     return a.score > b.score;
                   });
  if (plan.max_found > 0 && selection.found.size() > plan.max_found) {
    selection.found.resize(plan.max_found);
  }
  return selection;
}

void describe(const Plan& plan, const ImageView& picture, Selection& selection) {
  for (Found& found : selection.found) {
    if (!found.description.empty()) continue;
    ColourOptions options;
    options.metallic = plan.meanings[found.item].metallic;
    found.description = describe(estimate_colour(picture, found.box, options).name, found.kind);
  }
}

}  // namespace itemcrop::taxonomy
