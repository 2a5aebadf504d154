#include "text/unicode.h"

#include <algorithm>
#include <iterator>
#include <span>
#include <string>

#include <utf8proc.h>

#include "itemcrop/error.h"

#include "text/unicode_tables.h"

namespace itemcrop::text {
namespace {

bool contains(std::span<const CodePointRange> table, char32_t c) noexcept {
  const auto after = std::upper_bound(
      table.begin(), table.end(), c,
      [](char32_t value, const CodePointRange& range) { return value < range.first; });
  return after != table.begin() && c <= std::prev(after)->last;
}

/// The blocks that BERT's own code lists, its 0x2B920 for 0x2B820 included.
constexpr CodePointRange kIdeographs[] = {
    {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},   {0x20000, 0x2A6DF},
    {0x2A700, 0x2B81F}, {0x2B920, 0x2CEAF}, {0x2F800, 0x2FA1F},
};

/// Decompositions younger than the reference's tables (Unicode 9), which leave these alone.
constexpr CodePointRange kNotDecomposed[] = {
    {0x105C9, 0x105C9}, {0x105E4, 0x105E4}, {0x11383, 0x11383}, {0x11385, 0x11385},
    {0x1138E, 0x1138E}, {0x11391, 0x11391}, {0x113C5, 0x113C5}, {0x113C7, 0x113C8},
    {0x11938, 0x11938}, {0x16121, 0x16128}, {0x16D68, 0x16D6A},
};

/// Lower cases of Unicode 16 and 17, which the reference knows and utf8proc 2.8 does not.
struct CaseRange {
  CodePointRange upper;
  char32_t first_lower;
};
constexpr CaseRange kNewLowercase[] = {
    {{0x1C89, 0x1C89}, 0x1C8A},    {{0xA7CB, 0xA7CB}, 0x264},  {{0xA7CC, 0xA7CC}, 0xA7CD},
    {{0xA7CE, 0xA7CE}, 0xA7CF},    {{0xA7D2, 0xA7D2}, 0xA7D3}, {{0xA7D4, 0xA7D4}, 0xA7D5},
    {{0xA7DA, 0xA7DA}, 0xA7DB},    {{0xA7DC, 0xA7DC}, 0x19B},  {{0x10D50, 0x10D65}, 0x10D70},
    {{0x16EA0, 0x16EB8}, 0x16EBB},
};

constexpr bool is_ascii(char32_t c) noexcept { return c < 0x80; }

/// Reads the first scalar value; returns its bytes, or an error below 1.
utf8proc_ssize_t iterate(std::string_view text, utf8proc_int32_t& value) noexcept {
  return utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                          static_cast<utf8proc_ssize_t>(text.size()), &value);
}

}  // namespace

std::vector<CodePoint> decode_utf8(std::string_view text, int offset) {
  std::vector<CodePoint> decoded;
  decoded.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    utf8proc_int32_t value = 0;
    const utf8proc_ssize_t length = iterate(text.substr(at), value);
    const int begin = offset + static_cast<int>(at);
    if (length <= 0) {
      throw Error(ErrorCode::kInvalidArgument,
                  "text is not valid UTF-8 at byte " + std::to_string(begin));
    }
    decoded.push_back({static_cast<char32_t>(value), begin, begin + static_cast<int>(length)});
    at += static_cast<std::size_t>(length);
  }
  return decoded;
}

bool is_valid_utf8(std::string_view text) noexcept {
  while (!text.empty()) {
    utf8proc_int32_t value = 0;
    const utf8proc_ssize_t length = iterate(text, value);
    if (length <= 0) {
      return false;
    }
    text.remove_prefix(static_cast<std::size_t>(length));
  }
  return true;
}

void append_utf8(std::string& text, char32_t value) {
  if (is_ascii(value)) {
    text.push_back(static_cast<char>(value));
    return;
  }
  utf8proc_uint8_t bytes[4];
  const utf8proc_ssize_t length = utf8proc_encode_char(static_cast<utf8proc_int32_t>(value), bytes);
  text.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(length));
}

bool is_removed(char32_t c) noexcept {
  if (is_ascii(c)) {
    return (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7F;
  }
  return contains(kRemoved, c);
}

bool is_whitespace(char32_t c) noexcept {
  return c == ' ' || (c >= 0x09 && c <= 0x0D) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool is_punctuation(char32_t c) noexcept {
  if (is_ascii(c)) {
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
  }
  return contains(kPunctuation, c);
}

bool is_ideograph(char32_t c) noexcept { return !is_ascii(c) && contains(kIdeographs, c); }

bool is_nonspacing_mark(char32_t c) noexcept {
  return !is_ascii(c) && contains(kNonspacingMarks, c);
}

std::uint8_t combining_class(char32_t c) noexcept {
  const auto value = utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class;
  // Marks that the reference does not know yet have no class there.
  const bool known = value != 0 && (contains(kNonspacingMarks, c) || contains(kReorderedMarks, c));
  return known ? static_cast<std::uint8_t>(value) : std::uint8_t{0};
}

char32_t to_lowercase(char32_t c) noexcept {
  if (is_ascii(c)) {
    return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
  }
  for (const CaseRange& range : kNewLowercase) {
    if (c >= range.upper.first && c <= range.upper.last) {
      return range.first_lower + (c - range.upper.first);
    }
  }
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}

int decompose(char32_t c, char32_t (&out)[4]) noexcept {
  out[0] = c;
  if (is_ascii(c) || contains(kNotDecomposed, c)) {
    return 1;
  }
  utf8proc_int32_t values[4];
  int boundary = 0;
  const utf8proc_ssize_t count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), values,
                                                         4, UTF8PROC_DECOMPOSE, &boundary);
  std::transform(values, values + count, out,
                 [](utf8proc_int32_t value) { return static_cast<char32_t>(value); });
  return static_cast<int>(count);
}

}  // namespace itemcrop::text
