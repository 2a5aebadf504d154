#include "items/naming.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include <utf8proc.h>

#include "core/ascii.h"

namespace itemcrop::items {
namespace {

/// Longer input adds nothing to a name of tens of bytes, and must not cost a decomposition.
constexpr std::size_t kMaxConsidered = 1024;

bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

/// Compatibility letters and accents reduced to plain ones; the input itself if it is not UTF-8.
std::string without_accents(std::string_view text) {
  utf8proc_uint8_t* mapped = nullptr;
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT |
                                                      UTF8PROC_STRIPMARK | UTF8PROC_CASEFOLD);
  const utf8proc_ssize_t length =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &mapped, options);
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, &std::free);
  if (length < 0) return std::string(text);
  return {reinterpret_cast<const char*>(mapped), static_cast<std::size_t>(length)};
}

bool is_reserved_on_windows(std::string_view stem) {
  static constexpr std::array<std::string_view, 4> kDevices = {"con", "prn", "aux", "nul"};
  if (std::find(kDevices.begin(), kDevices.end(), stem) != kDevices.end()) return true;
  return stem.size() == 4 && (stem.starts_with("com") || stem.starts_with("lpt")) &&
         stem[3] >= '0' && stem[3] <= '9';
}

}  // namespace

std::string slug(std::string_view text, std::size_t max_length) {
  std::string result;
  bool gap = false;
  for (const char raw : without_accents(text.substr(0, kMaxConsidered))) {
    const char c = lower(raw);
    if (!is_word(c)) {
      gap = true;
      continue;
    }
    const bool dash = gap && !result.empty();
    if (result.size() + (dash ? 2 : 1) > max_length) break;
    if (dash) result += '-';
    result += c;
    gap = false;
  }
  return result.empty() ? "item" : result;
}

std::string UniqueStems::unique(std::string_view text) {
  const std::string base = slug(text);
  std::string candidate = base;
  // A reserved name gets a number at once: "con-2" is an ordinary name everywhere.
  bool taken = is_reserved_on_windows(candidate) || used_.contains(candidate);
  int& number = used_.try_emplace(base, 1).first->second;
  int tried = number;
  while (taken) {
    candidate = base + '-' + std::to_string(++tried);
    taken = used_.contains(candidate);
  }
  number = tried;
  used_.try_emplace(candidate, 1);
  return candidate;
}

std::string crop_name(std::string_view stem, int number, std::string_view prompt,
                      std::string_view extension) {
  std::array<char, 16> digits{};
  std::snprintf(digits.data(), digits.size(), "%02d", number);
  std::string name(stem);
  name.append("_").append(digits.data()).append("_").append(slug(prompt)).append(".");
  return name.append(extension);
}

}  // namespace itemcrop::items
