#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace itemcrop::text {

/// One code point of UTF-8 text and the bytes [begin, end) it stands for.
struct CodePoint {
  char32_t value = 0;
  int begin = 0;
  int end = 0;
};

/// Strict UTF-8: throws Error(kInvalidArgument) with the byte offset (plus `offset`) of the first
/// byte that is part of no scalar value. Spans start at `offset`.
std::vector<CodePoint> decode_utf8(std::string_view text, int offset = 0);

bool is_valid_utf8(std::string_view text) noexcept;

/// Appends a scalar value as UTF-8.
void append_utf8(std::string& text, char32_t value);

// What the reference takes a code point for; see scripts/make_unicode_tables.py.

bool is_removed(char32_t c) noexcept;          ///< NUL, U+FFFD, control and format characters
bool is_whitespace(char32_t c) noexcept;       ///< Unicode White_Space
bool is_punctuation(char32_t c) noexcept;      ///< a word of its own
bool is_ideograph(char32_t c) noexcept;        ///< set apart by spaces
bool is_nonspacing_mark(char32_t c) noexcept;  ///< an accent
std::uint8_t combining_class(char32_t c) noexcept;
char32_t to_lowercase(char32_t c) noexcept;  ///< simple mapping

/// Canonical decomposition of one code point: 1 to 4 values. Returns how many.
int decompose(char32_t c, char32_t (&out)[4]) noexcept;

}  // namespace itemcrop::text
