#include "items/word_list.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "itemcrop/error.h"

#include "core/ascii.h"

namespace itemcrop::items {
namespace {

using nlohmann::json;

constexpr std::size_t kShownBytes = 60;  // of a text in a message

[[noreturn]] void refuse(std::string_view field, const std::string& message) {
  throw Error(ErrorCode::kInvalidArgument, std::string(field) + " " + message, std::string(field));
}

bool looks_like_json(std::string_view text) {
  return text.starts_with('[') || text.starts_with('{') || text.starts_with('"');
}

/// Takes a JSON list of texts word by word, so that nothing else is ever built from it.
class TextList : public nlohmann::json_sax<json> {
 public:
  explicit TextList(std::size_t max_words) : max_words_(max_words) {}

  /// Whether the text was such a list, or one that is too long.
  bool read(std::string_view text) {
    return json::sax_parse(text, this) || (in_list_ && words.size() > max_words_);
  }

  bool start_array(std::size_t) override { return !std::exchange(in_list_, true); }
  bool end_array() override { return true; }
  bool string(string_t& word) override {
    words.push_back(tidy(word));
    return in_list_ && words.size() <= max_words_;
  }
  bool null() override { return false; }
  bool boolean(bool) override { return false; }
  bool number_integer(number_integer_t) override { return false; }
  bool number_unsigned(number_unsigned_t) override { return false; }
  bool number_float(number_float_t, const string_t&) override { return false; }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return false; }
  bool key(string_t&) override { return false; }
  bool end_object() override { return false; }
  bool parse_error(std::size_t, const std::string&, const json::exception&) override {
    return false;
  }

  std::vector<std::string> words;

 private:
  const std::size_t max_words_;
  bool in_list_ = false;
};

std::vector<std::string> words_of_json(std::string_view text, std::string_view field,
                                       std::size_t max_words) {
  TextList list(max_words);
  if (!list.read(text) || list.words.empty()) {
    refuse(field,
           "is no JSON list of texts; write [\"navy blazer\", \"pants\"] or navy blazer, pants");
  }
  for (std::size_t i = 0; i < list.words.size(); ++i) {
    if (list.words[i].empty()) refuse(field, "names nothing at position " + std::to_string(i + 1));
  }
  return std::move(list.words);
}

/// Whether a full stop at `at` closes a word: nothing or white space follows.
bool closes_word(std::string_view text, std::size_t at) {
  return text[at] == '.' && (at + 1 == text.size() || is_space(text[at + 1]));
}

/// Pieces between separators, the last one included even if it is empty.
template <typename Separates>
std::vector<std::string> split(std::string_view text, std::size_t max_words,
                               const Separates& separates) {
  std::vector<std::string> words;
  std::size_t begin = 0;
  for (std::size_t at = 0; at <= text.size() && words.size() <= max_words; ++at) {
    if (at < text.size() && !separates(at)) continue;
    words.push_back(tidy(text.substr(begin, at - begin)));
    begin = at + 1;
  }
  return words;
}

std::size_t stops_in(std::string_view text) {
  std::size_t stops = 0;
  for (std::size_t at = 0; at < text.size(); ++at) stops += closes_word(text, at) ? 1 : 0;
  return stops;
}

}  // namespace

std::vector<std::string> parse_word_list(std::string_view text, std::string_view field,
                                         std::size_t max_words) {
  const std::string_view list = trimmed(text);  // not copied: a form may hold megabytes
  if (looks_like_json(list)) return words_of_json(list, field, max_words);
  std::string_view words_text = list;
  const bool has_commas = list.find(',') != list.npos;
  const bool is_prompt = list.ends_with('.');  // a stop within a name, as in "Dr. Martens", is none
  if (is_prompt && has_commas && stops_in(list) > 1) {
    refuse(field, "mixes commas and full stops, is '" + tidy(list.substr(0, kShownBytes)) +
                      "'; write navy blazer, pants or navy blazer. pants.");
  }
  if (is_prompt) words_text.remove_suffix(1);
  std::vector<std::string> words = split(words_text, max_words, [&](std::size_t at) {
    return has_commas || !is_prompt ? words_text[at] == ',' : closes_word(words_text, at);
  });
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (!words[i].empty()) continue;
    if (words.size() == 1) refuse(field, "is empty; write it as \"navy blazer, pants\"");
    refuse(field, "names nothing at position " + std::to_string(i + 1) + " of " +
                      std::to_string(words.size()) + "; write it as \"navy blazer, pants\"");
  }
  return words;
}

std::string parse_word(std::string_view text, std::string_view field, std::string_view list_field) {
  std::string word = tidy(text);
  if (word.empty()) refuse(field, "must not be empty");
  const bool is_list = looks_like_json(word) || word.find(',') != std::string::npos ||
                       (word.ends_with('.') && stops_in(word) > 1);
  if (is_list) {
    refuse(field, "takes one item, '" + word.substr(0, kShownBytes) + "' is a list; write " +
                      std::string(list_field) + " \"" + word.substr(0, kShownBytes) +
                      "\", or for a comma within an item " + std::string(list_field) +
                      " '[\"shirt, striped\"]'");
  }
  return word;
}

}  // namespace itemcrop::items
