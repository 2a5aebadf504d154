#pragma once

#include <string>
#include <string_view>

/// Letters of ASCII, in any locale; other bytes stay as they are.
namespace itemcrop {

constexpr char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
std::string lower(std::string_view text);

/// Equal but for the case of letters.
bool same_word(std::string_view a, std::string_view b) noexcept;

constexpr bool is_space(char c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r'); }

/// Without white space at both ends.
std::string_view trimmed(std::string_view text) noexcept;

/// Without white space at both ends; runs of white space inside become one space.
std::string tidy(std::string_view text);

}  // namespace itemcrop
