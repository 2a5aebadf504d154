#pragma once

#include <string>
#include <vector>

#include "itemcrop/items.h"

#include "taxonomy/taxonomy.h"

namespace itemcrop::cli {

/// What the user typed about items.
struct ItemWords {
  std::vector<std::string> lists;        ///< --items "navy blazer, pants": items::parse_word_list
  std::vector<std::string> singles;      ///< --item: one each
  std::vector<std::string> distractors;  ///< --distractor: as --items
  std::vector<std::string> thresholds;   ///< --item-threshold NAME=0.4
  std::vector<std::string> counts;       ///< --item-count NAME=2
  std::vector<std::string> categories;   ///< --categories "tops, shoes": as --items
  std::string taxonomy;                  ///< --taxonomy: name or file; empty: the model's
};

/// The items of a request: lists first, then singles, then distractors. Words are tidied (white
/// space), an item named twice (ignoring ASCII case) is asked for once, in its first spelling.
/// Throws Error(kInvalidArgument): neither items nor categories, an empty item, a list where one
/// item is asked for, an item that is a distractor too, a threshold or count that names no item or
/// is out of range.
std::vector<Item> parse_items(const ItemWords& words);

/// The words of --categories. Throws Error(kInvalidArgument): an empty word.
std::vector<std::string> parse_categories(const ItemWords& words);

/// What the categories mean: --taxonomy, else the model's. Throws Error of taxonomy::Catalog.
taxonomy::Taxonomy find_taxonomy(const ItemWords& words, const std::string& model);

}  // namespace itemcrop::cli
