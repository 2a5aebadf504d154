#include "items/word_list.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace itemcrop::items {
namespace {

using Words = std::vector<std::string>;
using test::expect_error;

void refuses(const std::string& text, const std::string& part) {
  expect_error(ErrorCode::kInvalidArgument, part, [&] { parse_word_list(text, "--items"); });
}

TEST(WordList, IsSeparatedByCommas) {
  EXPECT_EQ(parse_word_list(" navy  blazer ,pants", "items"), (Words{"navy blazer", "pants"}));
  EXPECT_EQ(parse_word_list("hat", "items"), Words{"hat"});
  EXPECT_EQ(parse_word_list("hat, hat", "items"), (Words{"hat", "hat"}));
}

TEST(WordList, MayBeThePromptOfTheReference) {
  EXPECT_EQ(parse_word_list("hat. pants.", "items"), (Words{"hat", "pants"}));
  EXPECT_EQ(parse_word_list("a cat.  a remote . ", "items"), (Words{"a cat", "a remote"}));
  EXPECT_EQ(parse_word_list("hat.", "items"), Words{"hat"});
  EXPECT_EQ(parse_word_list("hat, pants.", "items"), (Words{"hat", "pants"}));
}

TEST(WordList, KeepsFullStopsWithinNames) {
  EXPECT_EQ(parse_word_list("Dr. Martens boots, No.5 flask", "items"),
            (Words{"Dr. Martens boots", "No.5 flask"}));
  EXPECT_EQ(parse_word_list("2.5 l bottle", "items"), Words{"2.5 l bottle"});
}

TEST(WordList, MayBeJsonWhoseTextsAreTakenWhole) {
  EXPECT_EQ(parse_word_list(R"(["t-shirt","pants"])", "items"), (Words{"t-shirt", "pants"}));
  EXPECT_EQ(parse_word_list(R"( ["shirt, striped", "M\u00fctze"] )", "items"),
            (Words{"shirt, striped", "Mütze"}));
}

TEST(WordList, IsNeverHalfUnderstood) {
  refuses(R"(["t-shirt",)", "--items is no JSON list of texts");
  refuses(R"([{"prompt": "hat"}])", "--items is no JSON list of texts");
  refuses(R"({"items": ["hat"]})", "--items is no JSON list of texts");
  refuses(R"("t-shirt", "pants")", "--items is no JSON list of texts");
  refuses("[]", "--items is no JSON list of texts");
  refuses(R"(["hat", " "])", "names nothing at position 2");
  refuses("hat,,belt", "names nothing at position 2 of 3");
  refuses("hat,", "names nothing at position 2");
  refuses("hat. . belt.", "names nothing at position 2");
  refuses(" ", "--items is empty");
  refuses("hat. pants, shoes.", "mixes commas and full stops");
}

TEST(WordList, EndsOneWordBeyondTheMost) {
  EXPECT_EQ(parse_word_list("a,b,c,d,e", "items", 2).size(), 3U);
  EXPECT_EQ(parse_word_list(R"(["a","b","c","d","e"])", "items", 2).size(), 3U);
}

TEST(Word, IsOneAndNoList) {
  EXPECT_EQ(parse_word("  navy   blazer ", "--item", "--items"), "navy blazer");
  EXPECT_EQ(parse_word("Dr. Martens", "--item", "--items"), "Dr. Martens");
  for (const char* list : {"dress, pants", R"(["dress"])", "hat. pants."}) {
    expect_error(ErrorCode::kInvalidArgument, "is a list; write --items",
                 [&] { parse_word(list, "--item", "--items"); });
  }
  expect_error(ErrorCode::kInvalidArgument, "--item must not be empty",
               [] { parse_word(" ", "--item", "--items"); });
}

}  // namespace
}  // namespace itemcrop::items
