#include "cli/item_list.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

#include "itemcrop/error.h"

#include "cli/words.h"
#include "core/ascii.h"
#include "core/words.h"
#include "items/word_list.h"

namespace itemcrop::cli {
namespace {

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorCode::kInvalidArgument, message);
}

Item* find(std::vector<Item>& items, std::string_view name) {
  const auto at = std::find_if(items.begin(), items.end(),
                               [&](const Item& item) { return lower(item.prompt) == lower(name); });
  return at == items.end() ? nullptr : &*at;
}

void add(std::vector<Item>& items, std::string_view words, bool distractor) {
  std::string prompt = tidy(words);
  if (const Item* known = find(items, prompt)) {
    if (known->distractor == distractor) return;
    refuse("--distractor: '" + prompt + "' is also an item to find");
  }
  items.emplace_back();
  items.back().prompt = std::move(prompt);
  items.back().distractor = distractor;
}

/// Splits "NAME=value" at the last '=' and finds the item.
struct Setting {
  Item& item;
  std::string value;
};

Setting parse_setting(const std::string& option, const std::string& text,
                      std::vector<Item>& items) {
  const std::size_t equals = text.rfind('=');
  if (equals == std::string::npos) refuse(option + " must be NAME=VALUE, got '" + text + "'");
  const std::string name = tidy(std::string_view(text).substr(0, equals));
  if (Item* item = find(items, name)) return {*item, tidy(text.substr(equals + 1))};
  std::vector<std::string> names;
  for (const Item& item : items) names.push_back(item.prompt);
  const auto typo = closest(name, names);
  refuse(option + ": '" + name + "' is not one of the items" +
         (typo ? "; did you mean '" + *typo + "'?" : " (" + join(names) + ")"));
}

template <typename Number>
Number parse_number(const std::string& option, const Setting& setting, Number low, Number high) {
  Number number{};
  const char* end = setting.value.data() + setting.value.size();
  const auto [stop, problem] = std::from_chars(setting.value.data(), end, number);
  if (problem != std::errc() || stop != end || !(number >= low && number <= high)) {
    refuse(option + " of '" + setting.item.prompt + "' must be a number from " +
           (std::is_integral_v<Number> ? std::to_string(low) : fixed(low, 0)) + " to " +
           (std::is_integral_v<Number> ? std::to_string(high) : fixed(high, 0)) + ", got '" +
           setting.value + "'");
  }
  return number;
}

}  // namespace

std::vector<std::string> parse_categories(const ItemWords& words) {
  std::vector<std::string> categories;
  for (const std::string& list : words.categories) {
    for (std::string& word : items::parse_word_list(list, "--categories")) {
      categories.push_back(std::move(word));
    }
  }
  return categories;
}

taxonomy::Taxonomy find_taxonomy(const ItemWords& words, const std::string& model) {
  const bool is_file =
      words.taxonomy.ends_with(".toml") || words.taxonomy.find('/') != std::string::npos;
  const std::vector<std::filesystem::path> files =
      is_file ? std::vector<std::filesystem::path>{words.taxonomy}
              : std::vector<std::filesystem::path>{};
  const taxonomy::Catalog catalog(files);
  if (is_file) return catalog.all().front();
  return words.taxonomy.empty() ? catalog.for_model(model) : catalog.named(words.taxonomy);
}

std::vector<Item> parse_items(const ItemWords& words) {
  std::vector<Item> items;
  for (const std::string& list : words.lists) {
    for (const std::string& word : items::parse_word_list(list, "--items")) add(items, word, false);
  }
  for (const std::string& single : words.singles) {
    add(items, items::parse_word(single, "--item", "--items"), false);
  }
  if (items.empty() && words.categories.empty()) {
    refuse(
        "no items to look for; name them with --items \"navy blazer, pants\" or --categories "
        "\"tops, shoes\"");
  }
  for (const std::string& distractor : words.distractors) {
    for (const std::string& word : items::parse_word_list(distractor, "--distractor")) {
      add(items, word, true);
    }
  }
  for (const std::string& text : words.thresholds) {
    const Setting setting = parse_setting("--item-threshold", text, items);
    setting.item.threshold = parse_number<float>("--item-threshold", setting, 0, 1);
  }
  for (const std::string& text : words.counts) {
    const Setting setting = parse_setting("--item-count", text, items);
    setting.item.count = parse_number<int>("--item-count", setting, 1, 1'000'000);
  }
  return items;
}

}  // namespace itemcrop::cli
