#pragma once

#include <optional>
#include <string>
#include <vector>

#include "itemcrop/items.h"

#include "image/crop.h"

namespace itemcrop::crop {

enum class Order {
  kBestFirst,  ///< by score
  kAsAsked,    ///< by the request's words; of one word, best first
};

/// What to find in images and what to make of it.
struct Request {
  std::vector<Item> items;              ///< the caller's own words
  std::vector<std::string> categories;  ///< words of the taxonomy, or free text
  std::optional<float> threshold;       ///< of categories, in [0, 1]; none: the taxonomy's
  /// Boxes a category; 0: any number. None: one a category and `count_in_all` together.
  std::optional<int> count_each = 0;
  std::optional<int> count_in_all = {};  ///< none: the number of categories
  ScoringOptions scoring;
  Order order = Order::kBestFirst;
  bool describe = false;  ///< say colour and kind of what belongs to a category
  image::CropOptions crop;
};

}  // namespace itemcrop::crop
