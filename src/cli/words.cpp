#include "cli/words.h"

#include <cstddef>
#include <cstdio>

#include "core/words.h"

namespace itemcrop::cli {
std::string counted(std::size_t count, std::string_view noun) {
  return std::to_string(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

std::string join_some(std::span<const std::string> words, std::size_t most) {
  // One word takes no more room than "and 1 more".
  if (words.size() <= most + 1) return join(words);
  return join(words.first(most)) + " and " + std::to_string(words.size() - most) + " more";
}

std::string printable(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return result;
}

std::string fixed(double value, int decimals) {
  const int length = std::snprintf(nullptr, 0, "%.*f", decimals, value);
  std::string result(static_cast<std::size_t>(length), '\0');
  std::snprintf(result.data(), result.size() + 1, "%.*f", decimals, value);
  return result;
}

}  // namespace itemcrop::cli
