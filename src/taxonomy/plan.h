#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "itemcrop/image.h"
#include "itemcrop/items.h"

#include "taxonomy/taxonomy.h"
#include "taxonomy/vlm_answer.h"

namespace itemcrop::taxonomy {

/// One thing a caller asked for: a category word, free text, or an entry of a model's list.
struct Target {
  std::string word;         ///< as asked ("bags"); an analysis: the category's name
  std::string category;     ///< the taxonomy's name for it ("bag"); free text: the text itself
  std::string noun;         ///< display word where the kind is unknown ("bag")
  std::string description;  ///< given with the request (a VLM's); empty: colour and kind
  int quota = 1;            ///< boxes it may have, best first; 0: any number
  bool own = false;         ///< one of CropPlanOptions::items; has no category
};

/// What a detector item of a plan stands for.
struct PlannedItem {
  std::string kind;  ///< display words ("t-shirt")
  std::string layer;
  bool metallic = false;
  /// Index of the category in the taxonomy; none: free text.
  std::optional<std::size_t> category = {};
  std::vector<std::size_t> targets;  ///< indices into Plan::targets; empty: it only competes
  bool own = false;  ///< only CropPlanOptions::items want it: its threshold is not the plan's
};

struct SelectionOptions {
  float same_object_iou = 0.6F;  ///< boxes of any two items overlapping more show one thing
  float nms_iou = 0.5F;          ///< the same for two of one category and layer
  /// Share of a box inside another of its category and layer, or of a category that covers its own,
  /// from which one of the two is a part of the other: the weaker is dropped.
  float containment = 0.8F;
  /// A box that a competing kind won still goes to a wanted one whose own score for it is above
  /// this: a tunic taken for a dress is found when tops are asked for. Plans set their threshold.
  float second_chance = 0.15F;
};

/// One detector pass and how to read its answer. Plain data; make it once, use it for many photos.
struct Plan {
  std::vector<Item> items;            ///< the request's items, competitors last
  std::vector<PlannedItem> meanings;  ///< parallel to `items`
  std::vector<Target> targets;
  ScoringOptions scoring;  ///< for the request; `threshold` as planned
  SelectionOptions selection;
  std::size_t max_found = 0;  ///< at most this many; 0: no limit beyond the quotas
  bool best_first = false;    ///< order of the found: by score; false: the targets' order
  /// Boxes that may be handed out beyond the quotas, best score first (a count above the number of
  /// categories).
  std::size_t extra = 0;
  std::vector<std::vector<std::size_t>> covers;  ///< by category index, from the taxonomy
};

struct CropPlanOptions {
  /// `count` of POST /crop, >= 1; none: the number of categories. Smaller: the first ones found, in
  /// order. Larger: further boxes of the same categories, best first.
  std::optional<int> count = {};
  /// Instead of one box a word and `count` in all: this many a word, best first; 0: any number.
  std::optional<int> count_each = {};
  std::optional<float> threshold = {};  ///< overrides the taxonomy's and the kinds', in [0, 1]
  /// False: words that name a kind ("tee") run as they are written; true: as the kind's prompts.
  bool synonyms = true;
  /// Kinds of categories that were not asked for compete for boxes, so that "tops" does not
  /// take trousers. Left out when free text is asked for: who knows what it competes with.
  bool compete = true;
  std::size_t max_categories = 100;
  /// What the caller asks for by name beside the categories. Each runs as it is written, with its
  /// own threshold and count, and is returned under its own words: a box of it goes to it before it
  /// goes to a category, and the category then counts as found too. A prompt that a category has as
  /// well is run once, with the category's threshold unless the item has one.
  std::span<const Item> items = {};
  std::optional<int> count_item = {};  ///< boxes an item that gives no count; none: any number
};

/// Plans a search for categories: each word is a category, a group, a kind, or free text used as it
/// is. A word asked for twice (also by an alias) gets two boxes. Items are asked for once, however
/// many words need them. Box settings are the old contract's: threshold 0.15, best box a category.
/// Throws Error: kInvalidArgument (no words, a blank word, count, threshold), kLimitExceeded.
Plan plan_crop(const Taxonomy& taxonomy, std::span<const std::string> words,
               const CropPlanOptions& options = {});

struct AnalysisPlanOptions {
  std::optional<float> threshold = {};  ///< overrides the taxonomy's and the kinds', in [0, 1]
  std::size_t max_items = 20;           ///< best ones kept
};

/// Plans an analysis: every category's kinds in one pass, any number of boxes each.
Plan plan_analysis(const Taxonomy& taxonomy, const AnalysisPlanOptions& options = {});

/// Plans an analysis from a list that a VLM gave: each entry's prompt is looked for, best box an
/// entry. Prompts that were named twice are asked for once with a quota of two. An empty list gives
/// a plan without items: run no detector for it.
Plan plan_listed(const Taxonomy& taxonomy, std::span<const ListedItem> listed,
                 const AnalysisPlanOptions& options = {});

/// One thing found: one garment, one entry.
struct Found {
  std::size_t target = 0;     ///< index into Plan::targets
  std::size_t item = 0;       ///< index into Plan::items
  std::size_t detection = 0;  ///< index into the detections given
  std::string category;       ///< Target::category; an analysis: the category's name
  std::string prompt;         ///< the words that found it
  std::string kind;           ///< display words; free text: the text
  std::string description;    ///< Target::description; describe() fills it where empty
  float score = 0;
  Box box;
};

struct Selection {
  std::vector<Found> found;            ///< crop: in the targets' order; analysis: best first
  std::vector<std::string> not_found;  ///< words of targets without a box, as asked, in order
};

/// Reads a detector's answer to `plan.items`: the best box over all kinds of a target wins, and no
/// thing is returned twice, neither by two kinds of one category nor by two categories. Detections
/// must be in items mode (item_index set); others are ignored.
Selection select(const Plan& plan, std::span<const Detection> detections);

/// Fills empty descriptions from the image's pixels: "navy blazer". The view is the image that
/// the boxes refer to. Throws Error(kCancelled).
void describe(const Plan& plan, const ImageView& image, Selection& selection,
              const std::stop_token& stop = {});

}  // namespace itemcrop::taxonomy
