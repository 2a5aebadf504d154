#include "text/tokenizer.h"

#include <chrono>
#include <string>

#include <gtest/gtest.h>
#include <zlib.h>

#include "golden_json.h"
#include "support/expect_error.h"
#include "support/small_vocabulary.h"
#include "text/unicode.h"

namespace itemcrop::text {
namespace {

using test::bert_tokenizer;
using test::encode;
using test::Encoded;

class GoldenStrings : public testing::TestWithParam<const char*> {};

TEST_P(GoldenStrings, HaveTheIdsAndSpansOfTheReference) {
  const auto golden = test::tokenizer_golden(GetParam());
  ASSERT_GE(golden.at("cases").size(), 200U);
  const Tokenizer tokenizer = bert_tokenizer();
  for (const auto& row : golden["cases"]) {
    const Encoded actual = encode(tokenizer, row.at("text").get<std::string>());
    EXPECT_EQ(actual.ids, row.at("ids").get<std::vector<std::int32_t>>()) << row["text"];
    EXPECT_EQ(actual.spans, (row.at("spans").get<std::vector<std::pair<int, int>>>()))
        << row["text"];
  }
}

INSTANTIATE_TEST_SUITE_P(Tokenizer, GoldenStrings,
                         testing::Values("strings.json", "sequences.json"));

void append_little_endian(std::string& bytes, std::uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) {
    bytes += static_cast<char>(value >> shift);
  }
}

TEST(Tokenizer, TreatsEveryScalarValueAsTheReferenceDoes) {
  const auto golden = test::tokenizer_golden("unicode_blocks.json");
  const auto block_size = golden.at("block_size").get<std::uint32_t>();
  const auto expected = golden.at("crc32").get<std::vector<std::uint32_t>>();
  ASSERT_EQ(expected.size() * block_size, 0x110000U);
  const Tokenizer tokenizer = bert_tokenizer();
  for (std::uint32_t block = 0; block < expected.size(); ++block) {
    std::string bytes;
    for (std::uint32_t c = block * block_size; c < (block + 1) * block_size; ++c) {
      if (c >= 0xD800 && c <= 0xDFFF) {
        continue;
      }
      std::string text = "a";
      append_utf8(text, c);
      const std::vector<Token> tokens = tokenizer.tokenize(text + "b");
      append_little_endian(bytes, static_cast<std::uint32_t>(tokens.size()));
      for (const Token& token : tokens) {
        append_little_endian(bytes, static_cast<std::uint32_t>(token.id));
      }
    }
    const auto sum =
        crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size()));
    EXPECT_EQ(sum, expected[block]) << "code points from " << std::hex << block * block_size;
  }
}

TEST(Tokenizer, KnowsItsTokens) {
  const Tokenizer tokenizer = bert_tokenizer();
  EXPECT_EQ(tokenizer.vocabulary_size(), 30522);
  EXPECT_EQ(tokenizer.pad_id(), 0);
  EXPECT_EQ(tokenizer.unk_id(), 100);
  EXPECT_EQ(tokenizer.cls_id(), 101);
  EXPECT_EQ(tokenizer.sep_id(), 102);
  EXPECT_EQ(tokenizer.mask_id(), 103);
  EXPECT_EQ(tokenizer.period_id(), 1012);
  EXPECT_EQ(tokenizer.question_id(), 1029);
  EXPECT_EQ(tokenizer.token(4937), "cat");
}

TEST(Tokenizer, RefusesInvalidUtf8WithItsPlaceInTheWholeText) {
  const Tokenizer tokenizer = bert_tokenizer();
  test::expect_error(ErrorCode::kInvalidArgument, "not valid UTF-8 at byte 8",
                     [&] { tokenizer.tokenize("a [SEP] \xFF"); });
}

TEST(Tokenizer, KeepsCaseWhenAsked) {
  std::vector<std::string> tokens = test::small_vocabulary();
  tokens[200] = "\u00C9";
  tokens[201] = "e";
  const auto first_id = [&](bool lower_case) {
    return Tokenizer::from_vocabulary(tokens, lower_case).tokenize("\u00C9").front().id;
  };
  EXPECT_EQ(first_id(false), 200);
  EXPECT_EQ(first_id(true), 201);
}

/// A greedy search that is quadratic in a word's length would need minutes here.
TEST(Tokenizer, TakesTimeInProportionToTheText) {
  const Tokenizer tokenizer = bert_tokenizer();
  std::string text;
  for (int word = 0; word < 10'000; ++word) {
    text += std::string(99, 'a') + "\xC3\xBE ";
  }
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(tokenizer.tokenize(text).empty());
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

}  // namespace
}  // namespace itemcrop::text
