#include "text/normalizer.h"

#include <string>

#include <gtest/gtest.h>

#include "golden_json.h"

namespace itemcrop::text {
namespace {

std::string normalized(std::string_view text, bool lower_case = true) {
  std::string result;
  for (const CodePoint& c : normalize(decode_utf8(text), lower_case)) {
    append_utf8(result, c.value);
  }
  return result;
}

TEST(Normalize, CleansText) {
  EXPECT_EQ(normalized(std::string("a\0b\x01\x7F", 5)), "ab");
  EXPECT_EQ(normalized("a\tb\nc\rd\u00A0e\u3000f"), "a b c d e f");
  EXPECT_EQ(normalized("a\u200B\uFEFF\uFFFD\u202Eb"), "ab");
}

TEST(Normalize, SetsIdeographsApart) { EXPECT_EQ(normalized("a中b文"), "a 中 b 文 "); }

TEST(Normalize, DropsAccentsAndCase) {
  EXPECT_EQ(normalized("ÉTÉ Ǘ İ"), "ete u i");
  EXPECT_EQ(normalized("É", false), "É");
}

TEST(Normalize, KeepsTheBytesOfItsSource) {
  const auto result = normalize(decode_utf8("\u00C9\u200B中"), true);
  ASSERT_EQ(result.size(), 4U);
  EXPECT_EQ(result[0].begin, 0);
  EXPECT_EQ(result[0].end, 2);
  for (std::size_t i = 1; i < 4; ++i) {
    EXPECT_EQ(result[i].begin, 5);
    EXPECT_EQ(result[i].end, 8);
  }
}

TEST(Normalize, MatchesTheReferenceOnMarkSequences) {
  const auto golden = test::tokenizer_golden("sequences.json");
  ASSERT_GE(golden.at("cases").size(), 400U);
  for (const auto& row : golden["cases"]) {
    EXPECT_EQ(normalized(row.at("text").get<std::string>()), row.at("normalized")) << row["text"];
  }
}

}  // namespace
}  // namespace itemcrop::text
