#include "cli/item_list.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace itemcrop::cli {
namespace {

using test::expect_error;

std::vector<std::string> prompts(const std::vector<Item>& items) {
  std::vector<std::string> result;
  for (const Item& item : items) result.push_back(item.prompt);
  return result;
}

ItemWords words_of(std::vector<std::string> lists) {
  ItemWords words;
  words.lists = std::move(lists);
  return words;
}

TEST(ParseItems, SplitsAtCommasAndTidies) {
  EXPECT_EQ(prompts(parse_items(words_of({" navy   blazer ,pants", "hat"}))),
            (std::vector<std::string>{"navy blazer", "pants", "hat"}));
}

TEST(ParseItems, TakesEveryFormOfAList) {
  EXPECT_EQ(prompts(parse_items(words_of({"hat. pants.", R"(["shirt, striped"])"}))),
            (std::vector<std::string>{"hat", "pants", "shirt, striped"}));
}

TEST(ParseItems, RefusesAListWhereOneItemIsAskedFor) {
  ItemWords words;
  words.singles = {"dress, pants"};
  expect_error(ErrorCode::kInvalidArgument, "write --items \"dress, pants\"",
               [&] { parse_items(words); });
}

TEST(ParseItems, MayBeNoneBesideCategories) {
  ItemWords words;
  words.categories = {"tops, shoes", "bottoms"};
  EXPECT_TRUE(parse_items(words).empty());
  EXPECT_EQ(parse_categories(words), (std::vector<std::string>{"tops", "shoes", "bottoms"}));
  words.categories = {"tops,"};
  expect_error(ErrorCode::kInvalidArgument, "--categories names nothing at position 2",
               [&] { parse_categories(words); });
}

TEST(ParseItems, AsksOnceForWhatIsNamedTwice) {
  ItemWords words = words_of({"Hat, hat,HAT"});
  words.singles = {" hat "};
  EXPECT_EQ(prompts(parse_items(words)), std::vector<std::string>{"Hat"});
}

TEST(ParseItems, RefusesEmptyItems) {
  const auto refuses = [](const std::string& list, const std::string& part) {
    expect_error(ErrorCode::kInvalidArgument, part, [&] { parse_items(words_of({list})); });
  };
  refuses("", "--items is empty");
  refuses("hat,", "nothing at position 2");
  refuses("hat, ,belt", "nothing at position 2");
  ItemWords words;
  expect_error(ErrorCode::kInvalidArgument, "--items", [&] { parse_items(words); });
  words.singles = {" "};
  expect_error(ErrorCode::kInvalidArgument, "--item", [&] { parse_items(words); });
}

TEST(ParseItems, MarksDistractors) {
  ItemWords words = words_of({"coat"});
  words.distractors = {"curtain, Curtain"};
  const std::vector<Item> items = parse_items(words);
  ASSERT_EQ(items.size(), 2U);
  EXPECT_FALSE(items[0].distractor);
  EXPECT_TRUE(items[1].distractor);
  words.distractors = {"COAT"};
  expect_error(ErrorCode::kInvalidArgument, "--distractor", [&] { parse_items(words); });
  words.lists.clear();
  words.distractors = {"curtain"};
  expect_error(ErrorCode::kInvalidArgument, "no items", [&] { parse_items(words); });
}

TEST(ParseItems, SetsThresholdsAndCountsOfSingleItems) {
  ItemWords words = words_of({"coat, a=b"});
  words.distractors = {"curtain"};
  words.thresholds = {"Coat=0.4", "a=b=0.5", "curtain = 0.1"};
  words.counts = {"coat=2"};
  const std::vector<Item> items = parse_items(words);
  EXPECT_FLOAT_EQ(items[0].threshold.value(), 0.4F);
  EXPECT_EQ(items[0].count, 2);
  EXPECT_FLOAT_EQ(items[1].threshold.value(), 0.5F) << "split at the last '='";
  EXPECT_FLOAT_EQ(items[2].threshold.value(), 0.1F);
}

TEST(ParseItems, RefusesSettingsThatFitNothing) {
  const auto refuses = [](const std::string& threshold, const std::string& part) {
    ItemWords words = words_of({"blazer"});
    words.thresholds = {threshold};
    expect_error(ErrorCode::kInvalidArgument, part, [&] { parse_items(words); });
  };
  refuses("blazer", "NAME=VALUE");
  refuses("blazr=0.4", "did you mean 'blazer'");
  refuses("trousers=0.4", "is not one of the items (blazer)");
  refuses("blazer=1.5", "0 to 1, got '1.5'");
  refuses("blazer=", "got ''");
  refuses("blazer=0.4x", "got '0.4x'");
  refuses("blazer=nan", "got 'nan'");
  ItemWords words = words_of({"blazer"});
  words.counts = {"blazer=0"};
  expect_error(ErrorCode::kInvalidArgument, "--item-count of 'blazer'",
               [&] { parse_items(words); });
}

}  // namespace
}  // namespace itemcrop::cli
