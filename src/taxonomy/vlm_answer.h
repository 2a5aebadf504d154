#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace itemcrop::taxonomy {

/// One entry of the list that a vision-language model gives of a photo.
struct ListedItem {
  std::string category;     ///< as the model wrote it, tidied; may be empty
  std::string prompt;       ///< what to run on the detector; never blank
  std::string description;  ///< for people; may be empty
};

struct VlmAnswerLimits {
  std::size_t body_bytes = 262'144;
  std::size_t items = 20;        ///< further entries are dropped
  std::size_t text_bytes = 200;  ///< of a category, prompt or description; longer ones are cut
  std::size_t depth = 32;        ///< of JSON nesting
  std::size_t values = 10'000;   ///< of JSON
};

/// The list in a /v1/chat/completions response body. Tolerates code fences, text around the JSON, a
/// bare array or an object with any one array in it, entries that are only strings, missing fields;
/// skips entries without a usable prompt. Texts are plain: no markup, no control or format
/// characters. An empty list is an answer.
/// Throws Error(kUnavailable) that says what was wrong, without quoting more than a few words of
/// it.
std::vector<ListedItem> parse_vlm_answer(std::string_view body, const VlmAnswerLimits& limits = {});

/// The same for the message's text alone.
std::vector<ListedItem> parse_item_list(std::string_view text, const VlmAnswerLimits& limits = {});

}  // namespace itemcrop::taxonomy
