#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>

namespace itemcrop::items {

/// `text` as a file name part: lower-case words of [a-z0-9] joined by single '-', accents removed
/// ("Café crème" -> "cafe-creme"), everything else dropped, at most `max_length` bytes.
/// "item" when nothing is left.
std::string slug(std::string_view text, std::size_t max_length = 40);

/// Hands out file stems made of slugs that never repeat, also on file systems that ignore case, and
/// are never a name that Windows reserves (con, nul, com1 ...).
class UniqueStems {
 public:
  /// slug(text), with "-2", "-3" ... appended when it was handed out before.
  std::string unique(std::string_view text);

 private:
  std::unordered_map<std::string, int> used_;  // stem -> last number tried
};

/// "{stem}_{number}_{slug of prompt}.{extension}". '_' never occurs in a slug, so names are unique
/// as long as (stem, number) is.
std::string crop_name(std::string_view stem, int number, std::string_view prompt,
                      std::string_view extension);

}  // namespace itemcrop::items
