#include "cli/table.h"

#include <algorithm>

namespace itemcrop::cli {

std::string two_columns(const std::vector<std::pair<std::string, std::string>>& rows) {
  std::size_t widest = 0;
  for (const auto& [name, value] : rows) widest = std::max(widest, name.size());
  std::string text;
  for (const auto& [name, value] : rows) {
    text += name + std::string(widest - name.size() + 2, ' ') + value + "\n";
  }
  return text;
}

std::string with_thousands(long long number) {
  std::string digits = std::to_string(number);
  const std::size_t first = digits.starts_with('-') ? 1 : 0;
  for (std::size_t at = digits.size(); at > first + 3;) {
    at -= 3;
    digits.insert(at, ",");
  }
  return digits;
}

}  // namespace itemcrop::cli
