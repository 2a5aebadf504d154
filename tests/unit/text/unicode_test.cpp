#include "text/unicode.h"

#include <string>

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace itemcrop::text {
namespace {

using test::expect_error;

TEST(DecodeUtf8, GivesValuesAndBytes) {
  const auto decoded = decode_utf8("a\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80", 10);
  ASSERT_EQ(decoded.size(), 4U);
  EXPECT_EQ(decoded[0].value, U'a');
  EXPECT_EQ(decoded[1].value, U'\u00E9');
  EXPECT_EQ(decoded[2].value, U'\u4E2D');
  EXPECT_EQ(decoded[3].value, U'\U0001F600');
  EXPECT_EQ(decoded[0].begin, 10);
  EXPECT_EQ(decoded[1].begin, 11);
  EXPECT_EQ(decoded[1].end, 13);
  EXPECT_EQ(decoded[3].end, 20);
}

TEST(DecodeUtf8, NamesTheFirstInvalidByte) {
  const char* invalid[] = {
      "ab\x80",              // continuation alone
      "ab\xC3",              // cut
      "ab\xE4\xB8",          // cut
      "ab\xC0\xAF",          // overlong
      "ab\xE0\x80\x80",      // overlong
      "ab\xED\xA0\x80",      // surrogate
      "ab\xF4\x90\x80\x80",  // above U+10FFFF
      "ab\xF8\x88\x80\x80\x80",
      "ab\xFF",
      "ab\xC3(",
  };
  for (const char* text : invalid) {
    EXPECT_FALSE(is_valid_utf8(text));
    expect_error(ErrorCode::kInvalidArgument, "not valid UTF-8 at byte 102",
                 [&] { decode_utf8(text, 100); });
  }
  EXPECT_TRUE(is_valid_utf8("\xF4\x8F\xBF\xBF"));
  EXPECT_TRUE(is_valid_utf8(""));
}

TEST(AppendUtf8, InvertsDecoding) {
  for (const char32_t value : {U'\0', U'a', U'\x7F', U'\x80', U'\u07FF', U'\u0800', U'\uFFFF',
                               U'\U00010000', U'\U0010FFFF'}) {
    std::string text;
    append_utf8(text, value);
    const auto decoded = decode_utf8(text);
    ASSERT_EQ(decoded.size(), 1U);
    EXPECT_EQ(decoded[0].value, value);
  }
}

TEST(Unicode, CategoriesAreThoseOfTheReference) {
  EXPECT_TRUE(is_removed(U'\0'));
  EXPECT_TRUE(is_removed(U'\x7F'));
  EXPECT_TRUE(is_removed(U'\u200B'));
  EXPECT_TRUE(is_removed(U'\uFFFD'));
  EXPECT_TRUE(is_removed(U'\uE000'));
  EXPECT_FALSE(is_removed(U'\t'));
  EXPECT_FALSE(is_removed(U'\u0378'));  // unassigned
  EXPECT_FALSE(is_removed(U'\u0890'));  // a format character since Unicode 14
  EXPECT_TRUE(is_punctuation(U'$'));    // a symbol for Unicode
  EXPECT_TRUE(is_punctuation(U'\u2019'));
  EXPECT_FALSE(is_punctuation(U'\u20AC'));
  EXPECT_FALSE(is_punctuation(U'\u2E5D'));  // punctuation since Unicode 14
  EXPECT_TRUE(is_nonspacing_mark(U'\u0301'));
  EXPECT_FALSE(is_nonspacing_mark(U'\u0898'));  // a mark since Unicode 14
  EXPECT_TRUE(is_whitespace(U'\u3000'));
  EXPECT_FALSE(is_whitespace(U'\u200B'));
  EXPECT_TRUE(is_ideograph(U'\u4E2D'));
  EXPECT_FALSE(is_ideograph(U'\u3042'));
  EXPECT_FALSE(is_ideograph(U'\U0002B820'));  // BERT's code begins this block 256 later
}

TEST(Unicode, LowercaseKnowsUnicode17) {
  EXPECT_EQ(to_lowercase(U'A'), U'a');
  EXPECT_EQ(to_lowercase(U'\u00C9'), U'\u00E9');
  EXPECT_EQ(to_lowercase(U'\u03A3'), U'\u03C3');
  EXPECT_EQ(to_lowercase(U'\uA7DC'), U'\u019B');
  EXPECT_EQ(to_lowercase(U'\U00010D65'), U'\U00010D85');
  EXPECT_EQ(to_lowercase(U'\U00016EB8'), U'\U00016ED3');
  EXPECT_EQ(to_lowercase(U'\U00016EB9'), U'\U00016EB9');
}

std::u32string decomposed(char32_t c) {
  char32_t out[4];
  return {out, static_cast<std::size_t>(decompose(c, out))};
}

TEST(Unicode, DecomposesAsUnicode9) {
  EXPECT_EQ(decomposed(U'a'), U"a");
  EXPECT_EQ(decomposed(U'\u1E69'), U"s\u0323\u0307");
  EXPECT_EQ(decomposed(U'\u1F82'), U"\u03B1\u0313\u0300\u0345");
  EXPECT_EQ(decomposed(U'\uAC01'), U"\u1100\u1161\u11A8");
  EXPECT_EQ(decomposed(U'\uFB01'), U"\uFB01");          // compatibility only
  EXPECT_EQ(decomposed(U'\U00011938'), U"\U00011938");  // decomposes since Unicode 13
}

}  // namespace
}  // namespace itemcrop::text
