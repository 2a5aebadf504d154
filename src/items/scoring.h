#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "itemcrop/items.h"

#include "text/prompt.h"

namespace itemcrop::items {

/// What the model said about one image for one pass of the prompt. Everything is borrowed.
struct PassOutput {
  const text::PromptPass* pass = nullptr;  ///< the pass' tokens and the span of each of its items
  const float* probabilities = nullptr;    ///< [queries, tokens], sigmoid of the logits
  const float* boxes = nullptr;  ///< [queries, 4]: centre x, centre y, width, height; 0..1
  int queries = 0;

  /// Columns of `probabilities`. The reference pads to the model's limit with probability zero;
  /// those columns change nothing and are left out here.
  int tokens() const noexcept { return static_cast<int>(pass->ids.size()); }
};

/// The vocabulary's string of a token id ("##ing"); text::Tokenizer::token. LabelMode::kTokens
/// only.
using TokenText = std::function<std::string_view(std::int32_t id)>;

struct ScoredItems {
  std::vector<Detection> detections;   ///< best first; equal scores: item order, then query order
  std::vector<std::string> not_found;  ///< prompts, distractors left out, in the request's order
};

/// Two passes' boxes with at least this IoU are taken for the same object.
inline constexpr float kSameObjectIou = 0.75F;

/// Throws Error(kInvalidArgument) naming the field, its limit and its value.
void check_scoring(const ScoringOptions& options);
/// The same for items: no prompt may be blank, thresholds in [0, 1], counts >= 1, at least one item
/// that is not a distractor.
void check_items(std::span<const Item> items);

/// From token probabilities to items.
///
/// LabelMode::kItems. A query belongs to the item whose span has the highest mean probability
/// (distractors compete); its score is the span's maximum and must exceed the item's threshold.
/// Passes are merged as if they had been one prompt: where boxes of two passes show the same object
/// (IoU >= kSameObjectIou) the claim with the higher mean wins. Suppression and counts then work
/// per item. `Detection::scores` holds, for items of another pass, the best score that pass gave to
/// the same object, and 0 where it saw none there.
///
/// LabelMode::kTokens. `post_process_grounded_object_detection` of transformers' GroundingDino
/// processor: a query is kept when its highest token exceeds `threshold`, its label is every token
/// above `text_threshold` decoded together. Thresholds and counts of single items, distractors and
/// suppression do not apply, and boxes are not clamped. An item counts as found when a kept box has
/// a token of its span above `text_threshold`.
///
/// `width` and `height` are the image's, in pixels. Queries whose box is not finite are dropped.
ScoredItems score_items(std::span<const PassOutput> passes, std::span<const Item> items, int width,
                        int height, const ScoringOptions& options, const TokenText& token_text);

/// Tokens joined as BERT's WordPiece decoder does: "##" pieces are glued to what stands before
/// them, and no space comes before . ? ! , and the English contractions.
std::string decode_tokens(std::span<const std::string_view> tokens);

}  // namespace itemcrop::items
