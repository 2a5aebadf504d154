#include <algorithm>
#include <numeric>
#include <optional>

#include "core/stop.h"
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

/// A detection as the plan reads it.
struct Candidate {
  std::size_t detection = 0;
  std::size_t item = 0;  // one that a target wants
  float score = 0;
  Box box;
};

/// The wanted item that a competitor's box shows as well, if its own score says so.
std::optional<Candidate> second_chance(const Plan& plan, const Detection& detection,
                                       std::size_t index) {
  std::optional<Candidate> best;
  const std::size_t known = std::min(detection.scores.size(), plan.meanings.size());
  for (std::size_t item = 0; item < known; ++item) {
    const float score = detection.scores[item].score;
    const float least =
        std::max(plan.selection.second_chance, plan.items[item].threshold.value_or(0));
    if (plan.meanings[item].targets.empty() || score <= least) continue;
    // The threshold of such an item is the model's, which a plan does not know.
    if (plan.meanings[item].own && !plan.items[item].threshold) continue;
    if (!best || score > best->score) best = Candidate{index, item, score, detection.box};
  }
  return best;
}

std::vector<Candidate> candidates_of(const Plan& plan, std::span<const Detection> detections) {
  std::vector<Candidate> candidates;
  for (std::size_t i = 0; i < detections.size(); ++i) {
    const Detection& detection = detections[i];
    if (detection.item_index < 0) continue;
    const auto item = static_cast<std::size_t>(detection.item_index);
    if (item >= plan.meanings.size()) continue;
    if (!plan.meanings[item].targets.empty()) {
      candidates.push_back({i, item, detection.score, detection.box});
    } else if (const auto candidate = second_chance(plan, detection, i)) {
      candidates.push_back(*candidate);
    }
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
  return candidates;
}

/// Whether a box shows what a better one shows already.
bool duplicates(const Plan& plan, const Candidate& weaker, const Candidate& better) {
  const SelectionOptions& options = plan.selection;
  const PlannedItem& a = plan.meanings[better.item];
  const PlannedItem& b = plan.meanings[weaker.item];
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

/// Best first, each thing once.
std::vector<Candidate> distinct(const Plan& plan, std::span<const Detection> detections) {
  std::vector<Candidate> kept;
  for (const Candidate& candidate : candidates_of(plan, detections)) {
    const bool known = std::any_of(kept.begin(), kept.end(), [&](const Candidate& better) {
      return duplicates(plan, candidate, better);
    });
    if (!known) kept.push_back(candidate);
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

/// Whether something that the caller asked for by name belongs to a category: the category is in
/// the image then, though the box went to the name.
bool is_found_by_name(const Plan& plan, const Selection& selection, std::size_t category) {
  return std::any_of(selection.found.begin(), selection.found.end(), [&](const Found& found) {
    const std::vector<std::size_t>& targets = plan.meanings[found.item].targets;
    return plan.targets[found.target].own &&
           std::find(targets.begin(), targets.end(), category) != targets.end();
  });
}

Found found_of(const Plan& plan, const Candidate& candidate, std::size_t target) {
  Found found;
  found.target = target;
  found.item = candidate.item;
  found.detection = candidate.detection;
  found.category = plan.targets[target].category;
  found.prompt = plan.items[candidate.item].prompt;
  found.kind = plan.meanings[candidate.item].kind;
  if (found.kind.empty()) found.kind = plan.targets[target].noun;
  found.description = plan.targets[target].description;
  found.score = candidate.score;
  found.box = candidate.box;
  return found;
}

}  // namespace

Selection select(const Plan& plan, std::span<const Detection> detections) {
  Selection selection;
  Assignment assignment(plan);
  std::vector<Candidate> left;
  for (const Candidate& candidate : distinct(plan, detections)) {
    if (const auto target = assignment.take(candidate.item, false)) {
      selection.found.push_back(found_of(plan, candidate, *target));
    } else {
      left.push_back(candidate);
    }
  }
  left.resize(std::min(left.size(), plan.extra));
  for (const Candidate& candidate : left) {
    if (const auto target = assignment.take(candidate.item, true)) {
      selection.found.push_back(found_of(plan, candidate, *target));
    }
  }
  for (std::size_t target = 0; target < plan.targets.size(); ++target) {
    if (assignment.has_any(target) || is_found_by_name(plan, selection, target)) continue;
    selection.not_found.push_back(plan.targets[target].word);
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

void describe(const Plan& plan, const ImageView& image, Selection& selection,
              const std::stop_token& stop) {
  for (Found& found : selection.found) {
    if (!found.description.empty()) continue;
    throw_if_stopped(stop);
    ColourOptions options;
    options.metallic = plan.meanings[found.item].metallic;
    found.description = describe(estimate_colour(image, found.box, options).name, found.kind);
  }
}

}  // namespace itemcrop::taxonomy
