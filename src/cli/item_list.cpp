#include "cli/item_list.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <string_view>

#include "itemcrop/error.h"

#include "cli/words.h"
#include "core/ascii.h"

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

void add_list(std::vector<Item>& items, std::string_view list) {
  for (int number = 1;; ++number) {
    const std::size_t comma = list.find(',');
    const std::string_view word = list.substr(0, comma);
    if (tidy(word).empty()) {
      refuse("--items: item " + std::to_string(number) +
             " is empty; write items as \"navy blazer, pants\"");
    }
    add(items, word, false);
    if (comma == std::string_view::npos) return;
    list.remove_prefix(comma + 1);
  }
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
  const bool has_items = !words.lists.empty() || !words.singles.empty() ||
                         !words.distractors.empty() || !words.thresholds.empty() ||
                         !words.counts.empty();
  if (has_items) {
    refuse(
        "--categories goes without --items and the flags for items; other words may stand among "
        "the categories");
  }
  std::vector<std::string> categories;
  for (const std::string& list : words.categories) {
    std::string_view rest = list;
    while (true) {
      const std::size_t comma = rest.find(',');
      categories.push_back(tidy(rest.substr(0, comma)));
      if (categories.back().empty()) {
        refuse("--categories: word " + std::to_string(categories.size()) +
               " is empty; write them as \"tops, shoes\"");
      }
      if (comma == std::string_view::npos) break;
      rest.remove_prefix(comma + 1);
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
  for (const std::string& list : words.lists) add_list(items, list);
  for (const std::string& single : words.singles) {
    if (tidy(single).empty()) refuse("--item must not be empty");
    add(items, single, false);
  }
  if (items.empty()) {
    refuse(
        "no items to look for; name them with --items \"navy blazer, pants\" or --categories "
        "\"tops, shoes\"");
  }
  for (const std::string& distractor : words.distractors) {
    if (tidy(distractor).empty()) refuse("--distractor must not be empty");
    add(items, distractor, true);
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
