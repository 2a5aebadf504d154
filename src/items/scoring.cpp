#include "items/scoring.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <tuple>
#include <unordered_set>
#include <utility>

#include "itemcrop/error.h"

#include "items/claims.h"
#include "items/score_defaults.h"
#include "items/suppression.h"

namespace itemcrop::items {
namespace {

/// The reference pads logits to this many columns and never decodes the first and the last one.
constexpr int kReferenceColumns = 256;

void check_fraction(const std::string& field, float value) {
  if (!(value >= 0.0F && value <= 1.0F)) {
    throw Error(ErrorCode::kInvalidArgument,
                field + " must be between 0 and 1, got " + std::to_string(value));
  }
}

void check_count(const std::string& field, const std::optional<int>& count) {
  if (count && *count < 1) {
    throw Error(ErrorCode::kInvalidArgument,
                field + " must be at least 1, got " + std::to_string(*count));
  }
}

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\f\v") == std::string_view::npos;
}

std::vector<ItemScore> name_scores(std::span<const Item> items, std::span<const float> scores) {
  std::vector<ItemScore> named;
  named.reserve(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) named.push_back({items[i].prompt, scores[i]});
  return named;
}

std::vector<std::string> missing_items(std::span<const Item> items,
                                       const std::unordered_set<std::string>& found) {
  std::vector<std::string> missing;
  for (const Item& item : items) {
    if (!item.distractor && !found.contains(item.prompt)) missing.push_back(item.prompt);
  }
  return missing;
}

std::vector<std::vector<Box>> boxes_of_passes(std::span<const PassOutput> passes, int width,
                                              int height) {
  std::vector<std::vector<Box>> boxes(passes.size());
  if (passes.size() < 2) return boxes;  // only looked up between passes
  for (std::size_t pass = 0; pass < passes.size(); ++pass) {
    for (int query = 0; query < passes[pass].queries; ++query) {
      const std::optional<Box> box = query_box(passes[pass], query, width, height);
      boxes[pass].push_back(box ? clamp_to_image(*box, width, height) : Box{});
    }
  }
  return boxes;
}

/// The claims of one item that survive suppression and its count; `claims` come best first.
std::vector<Claim> keep_of_item(const std::vector<Claim>& claims, const Item& item,
                                const ScoringOptions& options) {
  std::vector<Claim> kept;
  if (options.suppress) {
    std::vector<Box> boxes;
    for (const Claim& claim : claims) boxes.push_back(claim.box);
    for (const std::size_t i : suppress(boxes, options.nms_iou, options.containment)) {
      kept.push_back(claims[i]);
    }
  } else {
    kept = claims;
  }
  if (const std::optional<int> count = item.count ? item.count : options.count) {
    kept.resize(std::min(kept.size(), static_cast<std::size_t>(*count)));
  }
  return kept;
}

float box_threshold(const ScoringOptions& options) {
  return options.threshold.value_or(score_defaults({}).threshold);
}

bool better(const Claim& a, const Claim& b) {
  return std::tuple(-a.score, a.item, a.query) < std::tuple(-b.score, b.item, b.query);
}

ScoredItems score_spans(std::span<const PassOutput> passes, std::span<const Item> items, int width,
                        int height, const ScoringOptions& options) {
  std::vector<Claim> claims;
  for (std::size_t pass = 0; pass < passes.size(); ++pass) {
    const std::vector<Claim> more = claims_of_pass(passes[pass], static_cast<int>(pass), items,
                                                   width, height, box_threshold(options));
    claims.insert(claims.end(), more.begin(), more.end());
  }
  if (passes.size() > 1) claims = settle_between_passes(std::move(claims));
  std::sort(claims.begin(), claims.end(), better);

  std::vector<std::vector<Claim>> by_item(items.size());
  for (const Claim& claim : claims) by_item[static_cast<std::size_t>(claim.item)].push_back(claim);
  std::vector<Claim> kept;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (items[i].distractor) continue;
    const std::vector<Claim> of_item = keep_of_item(by_item[i], items[i], options);
    kept.insert(kept.end(), of_item.begin(), of_item.end());
  }
  std::sort(kept.begin(), kept.end(), better);

  const std::vector<std::vector<Box>> pass_boxes = boxes_of_passes(passes, width, height);
  ScoredItems result;
  std::unordered_set<std::string> found;
  for (const Claim& claim : kept) {
    const std::string& prompt = items[static_cast<std::size_t>(claim.item)].prompt;
    const std::vector<float> scores =
        scores_across_passes(passes, pass_boxes, claim.pass, claim.query, claim.box, items.size());
    result.detections.push_back(
        {prompt, claim.item, claim.score, claim.box, name_scores(items, scores)});
    found.insert(prompt);
  }
  result.not_found = missing_items(items, found);
  return result;
}

/// The reference's label of one query: get_phrases_from_posmap, then the tokenizer's decode.
std::string glued_label(const PassOutput& output, const float* probabilities, float text_threshold,
                        const TokenText& token_text) {
  std::vector<std::string_view> tokens;
  const int end = std::min(output.tokens(), kReferenceColumns - 1);
  for (int token = 1; token < end; ++token) {
    if (probabilities[token] > text_threshold) {
      tokens.push_back(token_text(output.pass->ids[static_cast<std::size_t>(token)]));
    }
  }
  return decode_tokens(tokens);
}

/// The item that a pass is the caption of; -1: the pass holds items of the ordinary kind.
int caption_of(const PassOutput& output, std::span<const Item> items) {
  const int item = output.pass->spans.front().item;
  return items[static_cast<std::size_t>(item)].is_caption ? item : -1;
}

ScoredItems score_tokens(std::span<const PassOutput> passes, std::span<const Item> items, int width,
                         int height, const ScoringOptions& options, const TokenText& token_text) {
  const float text_threshold = options.text_threshold.value_or(score_defaults({}).text_threshold);
  ScoredItems result;
  std::unordered_set<std::string> found;
  for (const PassOutput& output : passes) {
    for (int query = 0; query < output.queries; ++query) {
      const float* row =
          output.probabilities + static_cast<std::ptrdiff_t>(query) * output.tokens();
      const float score = *std::max_element(row, row + output.tokens());
      const std::optional<Box> box = query_box(output, query, width, height);
      if (!(score > box_threshold(options)) || !box) continue;
      std::vector<float> scores(items.size(), 0.0F);
      add_query_scores(output, query, scores);
      for (std::size_t i = 0; i < items.size(); ++i) {
        if (scores[i] > text_threshold) found.insert(items[i].prompt);
      }
      result.detections.push_back({glued_label(output, row, text_threshold, token_text),
                                   caption_of(output, items), score, *box,
                                   name_scores(items, scores)});
    }
  }
  std::stable_sort(result.detections.begin(), result.detections.end(),
                   [](const Detection& a, const Detection& b) { return a.score > b.score; });
  result.not_found = missing_items(items, found);
  return result;
}

}  // namespace

void check_scoring(const ScoringOptions& options) {
  if (options.threshold) check_fraction("threshold", *options.threshold);
  if (options.text_threshold) check_fraction("text_threshold", *options.text_threshold);
  check_fraction("nms_iou", options.nms_iou);
  check_fraction("containment", options.containment);
  check_count("count", options.count);
}

void check_items(std::span<const Item> items) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::string field = "items[" + std::to_string(i) + "]";
    if (is_blank(items[i].prompt)) {
      throw Error(ErrorCode::kInvalidArgument, field + ".prompt must not be blank");
    }
    if (items[i].threshold) check_fraction(field + ".threshold", *items[i].threshold);
    check_count(field + ".count", items[i].count);
  }
  if (std::all_of(items.begin(), items.end(), [](const Item& i) { return i.distractor; })) {
    throw Error(ErrorCode::kInvalidArgument,
                "items must hold at least one item that is not a distractor");
  }
}

ScoredItems score_items(std::span<const PassOutput> passes, std::span<const Item> items, int width,
                        int height, const ScoringOptions& options, const TokenText& token_text) {
  return options.labels == LabelMode::kItems
             ? score_spans(passes, items, width, height, options)
             : score_tokens(passes, items, width, height, options, token_text);
}

std::string decode_tokens(std::span<const std::string_view> tokens) {
  static constexpr std::array<std::string_view, 9> kUnspaced = {".",  "?",  "!",   ",",  "n't",
                                                                "'m", "'s", "'ve", "'re"};
  std::string text;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const std::string_view token = tokens[i];
    if (i == 0) {
      text += token;
    } else if (token.starts_with("##")) {
      text += token.substr(2);
    } else {
      const bool unspaced =
          std::any_of(kUnspaced.begin(), kUnspaced.end(),
                      [&](std::string_view prefix) { return token.starts_with(prefix); });
      if (!unspaced) text += ' ';
      text += token;
    }
  }
  return text;
}

}  // namespace itemcrop::items
