#include "items/scoring.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "itemcrop/error.h"

namespace itemcrop::items {
namespace {

constexpr int kWidth = 200;
constexpr int kHeight = 100;

/// A pass whose tokens are [CLS], the items' tokens each followed by '.', and [SEP].
/// `lengths[i]` tokens belong to item first_item + i.
struct Pass {
  Pass(int first_item, const std::vector<int>& lengths) {
    int position = 1;
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      prompt.spans.push_back({first_item + static_cast<int>(i), position, position + lengths[i]});
      position += lengths[i] + 1;
    }
    prompt.ids.assign(static_cast<std::size_t>(position) + 1, 7);
  }

  /// One query: a box in pixels (corners) and the probabilities of the items' tokens, in order.
  void query(const Box& box, const std::vector<float>& item_tokens) {
    boxes.insert(boxes.end(), {(box.x0 + box.x1) / 2 / kWidth, (box.y0 + box.y1) / 2 / kHeight,
                               box.width() / kWidth, box.height() / kHeight});
    std::vector<float> row(prompt.ids.size(), 0.0F);
    std::size_t next = 0;
    for (const text::ItemSpan& span : prompt.spans) {
      for (int token = span.begin; token < span.end; ++token) {
        row[static_cast<std::size_t>(token)] = item_tokens.at(next++);
      }
    }
    probabilities.insert(probabilities.end(), row.begin(), row.end());
  }

  PassOutput output() const {
    return {&prompt, probabilities.data(), boxes.data(), static_cast<int>(boxes.size() / 4)};
  }

  text::PromptPass prompt;
  std::vector<float> probabilities;
  std::vector<float> boxes;
};

ScoredItems score(const std::vector<PassOutput>& passes, const std::vector<Item>& items,
                  const ScoringOptions& options = {}) {
  return score_items(passes, items, kWidth, kHeight, options,
                     [](std::int32_t) -> std::string_view { return "token"; });
}

std::vector<Item> named(const std::vector<std::string>& prompts) {
  std::vector<Item> items;
  for (const std::string& prompt : prompts) {
    items.emplace_back();
    items.back().prompt = prompt;
  }
  return items;
}

const Box kLeft{10, 10, 60, 90};
const Box kRight{120, 10, 180, 90};

TEST(ScoreItems, TheMeanPicksTheItemAndTheMaximumIsItsScore) {
  Pass pass(0, {2, 2});
  // "navy pants": 0.9 and 0.1, mean 0.5; "black coat": 0.6 and 0.6, mean 0.6.
  pass.query(kLeft, {0.9F, 0.1F, 0.6F, 0.6F});
  const ScoredItems found = score({pass.output()}, named({"navy pants", "black coat"}));
  ASSERT_EQ(found.detections.size(), 1U);
  const Detection& detection = found.detections[0];
  EXPECT_EQ(detection.item, "black coat");
  EXPECT_EQ(detection.item_index, 1);
  EXPECT_FLOAT_EQ(detection.score, 0.6F);
  ASSERT_EQ(detection.scores.size(), 2U);
  EXPECT_EQ(detection.scores[0].item, "navy pants");
  EXPECT_FLOAT_EQ(detection.scores[0].score, 0.9F);
  EXPECT_EQ(found.not_found, std::vector<std::string>{"navy pants"});
}

TEST(ScoreItems, BoxesArePixelsAndClampedToTheImage) {
  Pass pass(0, {1});
  pass.query({-20, 10, 60, 130}, {0.8F});
  const ScoredItems found = score({pass.output()}, named({"hat"}));
  ASSERT_EQ(found.detections.size(), 1U);
  const Box& box = found.detections[0].box;
  EXPECT_FLOAT_EQ(box.x0, 0);
  EXPECT_NEAR(box.y0, 10, 1e-4);
  EXPECT_NEAR(box.x1, 60, 1e-4);
  EXPECT_FLOAT_EQ(box.y1, kHeight);
}

TEST(ScoreItems, AnItemMayHaveSeveralSpans) {
  Pass pass(0, {1, 1, 1});
  for (text::ItemSpan& span : pass.prompt.spans) span.item = span.item == 2 ? 1 : 0;
  pass.query(kLeft, {0.9F, 0.1F, 0.55F});  // item 0: mean 0.5; item 1: 0.55
  const ScoredItems found = score({pass.output()}, named({"hat with band", "belt"}));
  ASSERT_EQ(found.detections.size(), 1U);
  EXPECT_EQ(found.detections[0].item, "belt");
  EXPECT_FLOAT_EQ(found.detections[0].scores[0].score, 0.9F);
}

TEST(ScoreItems, ABoxAtTheThresholdIsDropped) {
  Pass pass(0, {1});
  pass.query(kLeft, {0.25F});
  pass.query(kRight, {std::nextafter(0.25F, 1.0F)});
  const ScoredItems found = score({pass.output()}, named({"hat"}));
  ASSERT_EQ(found.detections.size(), 1U);
  EXPECT_NEAR(found.detections[0].box.x0, kRight.x0, 1e-4);
}

TEST(ScoreItems, ThresholdsAndCountsOfAnItemOverrideTheGeneralOnes) {
  Pass pass(0, {1, 1});
  pass.query({0, 0, 20, 20}, {0.5F, 0.0F});
  pass.query({30, 0, 50, 20}, {0.4F, 0.0F});
  pass.query({60, 0, 80, 20}, {0.0F, 0.5F});
  pass.query({90, 0, 110, 20}, {0.0F, 0.7F});
  pass.query({120, 0, 140, 20}, {0.0F, 0.6F});
  std::vector<Item> items = named({"hat", "belt"});
  items[0].threshold = 0.45F;
  items[1].count = 2;
  ScoringOptions options;
  options.count = 5;
  const ScoredItems found = score({pass.output()}, items, options);
  ASSERT_EQ(found.detections.size(), 3U);
  EXPECT_FLOAT_EQ(found.detections[0].score, 0.7F);
  EXPECT_FLOAT_EQ(found.detections[1].score, 0.6F);
  EXPECT_FLOAT_EQ(found.detections[2].score, 0.5F);
  EXPECT_EQ(found.detections[2].item, "hat");
}

TEST(ScoreItems, ADistractorTakesABoxAndIsNeverReturned) {
  Pass pass(0, {1, 1});
  pass.query(kLeft, {0.6F, 0.7F});
  std::vector<Item> items = named({"coat", "curtain"});
  EXPECT_EQ(score({pass.output()}, items).detections.at(0).item, "curtain");
  items[1].distractor = true;
  const ScoredItems found = score({pass.output()}, items);
  EXPECT_TRUE(found.detections.empty());
  EXPECT_EQ(found.not_found, std::vector<std::string>{"coat"});
}

TEST(ScoreItems, SuppressionIsPerItemAndCanBeSwitchedOff) {
  Pass pass(0, {1, 1});
  pass.query(kLeft, {0.9F, 0.0F});
  pass.query({12, 10, 62, 90}, {0.8F, 0.0F});  // the same coat again
  pass.query({20, 20, 40, 40}, {0.7F, 0.0F});  // a piece of the coat
  pass.query({11, 10, 61, 90}, {0.0F, 0.6F});  // a shirt under it
  ScoringOptions options;
  const ScoredItems found = score({pass.output()}, named({"coat", "shirt"}), options);
  ASSERT_EQ(found.detections.size(), 2U);
  EXPECT_FLOAT_EQ(found.detections[0].score, 0.9F);
  EXPECT_EQ(found.detections[1].item, "shirt");
  options.suppress = false;
  EXPECT_EQ(score({pass.output()}, named({"coat", "shirt"}), options).detections.size(), 4U);
}

TEST(ScoreItems, EqualScoresAreOrderedByItemThenQuery) {
  Pass pass(0, {1, 1});
  pass.query({0, 0, 20, 20}, {0.0F, 0.5F});
  pass.query({30, 0, 50, 20}, {0.5F, 0.0F});
  pass.query({60, 0, 80, 20}, {0.5F, 0.0F});
  const ScoredItems found = score({pass.output()}, named({"hat", "belt"}));
  ASSERT_EQ(found.detections.size(), 3U);
  EXPECT_NEAR(found.detections[0].box.x0, 30, 1e-4);
  EXPECT_NEAR(found.detections[1].box.x0, 60, 1e-4);
  EXPECT_NEAR(found.detections[2].box.x0, 0, 1e-4);
}

TEST(ScoreItems, AnItemAskedForTwiceIsNotReportedMissing) {
  Pass pass(0, {1, 1});
  pass.query(kLeft, {0.5F, 0.5F});
  EXPECT_TRUE(score({pass.output()}, named({"hat", "hat"})).not_found.empty());
}

TEST(ScoreItems, BoxesThatAreNotFiniteAreDropped) {
  Pass pass(0, {1});
  pass.query(kLeft, {0.9F});
  pass.query(kRight, {0.8F});
  pass.boxes[2] = std::numeric_limits<float>::quiet_NaN();
  const ScoredItems found = score({pass.output()}, named({"hat"}));
  ASSERT_EQ(found.detections.size(), 1U);
  EXPECT_FLOAT_EQ(found.detections[0].score, 0.8F);
  ScoringOptions tokens;
  tokens.labels = LabelMode::kTokens;
  EXPECT_EQ(score({pass.output()}, named({"hat"}), tokens).detections.size(), 1U);
}

TEST(ScoreItemsInPasses, AnswersAreMergedBestFirst) {
  Pass first(0, {1});
  first.query(kLeft, {0.5F});
  Pass second(1, {1});
  second.query(kRight, {0.9F});
  const ScoredItems found = score({first.output(), second.output()}, named({"hat", "belt"}));
  ASSERT_EQ(found.detections.size(), 2U);
  EXPECT_EQ(found.detections[0].item, "belt");
  EXPECT_EQ(found.detections[1].item, "hat");
  EXPECT_TRUE(found.not_found.empty());
  EXPECT_FLOAT_EQ(found.detections[1].scores[1].score, 0)
      << "the second pass saw nothing where the hat is";
}

TEST(ScoreItemsInPasses, OneObjectSeenByTwoPassesGoesToTheStrongerClaim) {
  Pass first(0, {1});
  first.query(kLeft, {0.5F});
  Pass second(1, {1});
  second.query({11, 10, 61, 90}, {0.9F});
  const ScoredItems found = score({first.output(), second.output()}, named({"blazer", "coat"}));
  ASSERT_EQ(found.detections.size(), 1U);
  EXPECT_EQ(found.detections[0].item, "coat");
  EXPECT_FLOAT_EQ(found.detections[0].scores[0].score, 0.5F) << "what the first pass gave this box";
  EXPECT_EQ(found.not_found, std::vector<std::string>{"blazer"});
}

TEST(ScoreItemsInPasses, ObjectsThatOnlyOverlapAreBothKept) {
  Pass first(0, {1});
  first.query(kLeft, {0.5F});
  Pass second(1, {1});
  second.query({10, 10, 60, 60}, {0.9F});  // IoU 0.625
  EXPECT_EQ(score({first.output(), second.output()}, named({"coat", "shirt"})).detections.size(),
            2U);
}

TEST(ScoreItemsInPasses, ADistractorOfAnotherPassTakesTheBox) {
  Pass first(0, {1});
  first.query(kLeft, {0.5F});
  Pass second(1, {1});
  second.query(kLeft, {0.9F});
  std::vector<Item> items = named({"coat", "curtain"});
  items[1].distractor = true;
  EXPECT_TRUE(score({first.output(), second.output()}, items).detections.empty());
}

TEST(CheckScoring, NamesTheFieldAndTheValue) {
  const auto message = [](const ScoringOptions& options) -> std::string {
    try {
      check_scoring(options);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message({}), "");
  ScoringOptions options;
  options.threshold = 1.5F;
  EXPECT_EQ(message(options), "threshold must be between 0 and 1, got 1.500000");
  options = {};
  options.nms_iou = std::numeric_limits<float>::quiet_NaN();
  EXPECT_NE(message(options).find("nms_iou"), std::string::npos);
  options = {};
  options.count = 0;
  EXPECT_EQ(message(options), "count must be at least 1, got 0");
}

TEST(CheckItems, RefusesBlankPromptsAndDistractorsAlone) {
  EXPECT_NO_THROW(check_items(named({"hat"})));
  EXPECT_THROW(check_items({}), Error);
  EXPECT_THROW(check_items(named({"hat", " \t"})), Error);
  std::vector<Item> items = named({"curtain"});
  items[0].distractor = true;
  EXPECT_THROW(check_items(items), Error);
  items = named({"hat"});
  items[0].threshold = -0.1F;
  EXPECT_THROW(check_items(items), Error);
  items[0].threshold = 0.5F;
  items[0].count = 0;
  EXPECT_THROW(check_items(items), Error);
}

}  // namespace
}  // namespace itemcrop::items
