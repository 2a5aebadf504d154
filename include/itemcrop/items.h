#pragma once

#include <optional>
#include <string>
#include <vector>

#include "itemcrop/image.h"

namespace itemcrop {

/// One thing to look for.
struct Item {
  std::string prompt;                   ///< words as a person writes them: "navy blazer"
  std::optional<float> threshold = {};  ///< overrides ScoringOptions::threshold for this item
  std::optional<int> count = {};  ///< at most this many boxes; overrides ScoringOptions::count
  bool distractor = false;        ///< scored (so it can win a box from an item), never returned
  bool is_caption = false;  ///< a caption of its own, in a pass of its own, to which no '.' is
                            ///< added: what transformers' zero-shot pipeline gives the model
};

/// How token scores become labels.
enum class LabelMode {
  kItems,   ///< an item owns its span of tokens: mean picks the item, maximum is the score
  kTokens,  ///< the reference's rule: every token above text_threshold, glued into a label
};

/// From token scores to items. Families of models score on scales of their own, so a threshold that
/// is not given is the one that suits the model (ModelInfo).
struct ScoringOptions {
  LabelMode labels = LabelMode::kItems;  ///< which rule names a box
  std::optional<float> threshold = {};   ///< box score in [0, 1]; a box at or below it is dropped
  std::optional<float> text_threshold = {};  ///< kTokens only: token score in [0, 1]
  std::optional<int> count = {};  ///< at most this many boxes an item, >= 1; none: no limit
  float nms_iou = 0.5F;      ///< boxes of one item overlapping more than this (IoU): best stays
  float containment = 0.8F;  ///< a box with more than this share of its area inside a better
                             ///< box of the same item is dropped
  bool suppress = true;      ///< false: neither NMS nor containment
};

/// How well a box fits one item.
struct ItemScore {
  std::string item;  ///< the item's prompt as given
  float score = 0;   ///< in [0, 1]
};

/// One found item.
struct Detection {
  std::string item;     ///< the item's prompt as given (kTokens: the glued label)
  int item_index = -1;  ///< index into the request's items; -1 with LabelMode::kTokens, but for
                        ///< items that are captions
  float score = 0;      ///< in [0, 1]
  Box box;              ///< in pixels of the request's image, clamped to it (kTokens: as predicted)
  std::vector<ItemScore> scores;  ///< this box's score for every item of the request, in its order
};

}  // namespace itemcrop
