// LabelMode::kTokens against answers of transformers (post_process.json, by dump_post_process.py).

#include <algorithm>
#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "items/scoring.h"

namespace itemcrop::items {
namespace {

nlohmann::json reference() {
  std::ifstream file(ITEMCROP_SOURCE_DIR "/tests/unit/items/post_process.json");
  return nlohmann::json::parse(file);  // throws, so a missing reference fails the test
}

TEST(TokenLabels, EqualTransformersPostProcessing) {
  const nlohmann::json cases = reference().at("cases");
  ASSERT_GE(cases.size(), 4U);
  for (const nlohmann::json& c : cases) {
    text::PromptPass pass;
    pass.ids = c.at("ids").get<std::vector<std::int32_t>>();
    pass.spans = {{0, 1, 2}};
    const auto tokens = c.at("tokens").get<std::vector<std::string>>();
    const auto probabilities = c.at("probabilities").get<std::vector<float>>();
    const auto boxes = c.at("boxes").get<std::vector<float>>();
    const auto text_of = [&](std::int32_t id) -> std::string_view {
      const auto at = std::find(pass.ids.begin(), pass.ids.end(), id) - pass.ids.begin();
      return tokens.at(static_cast<std::size_t>(at));
    };
    ScoringOptions options;
    options.labels = LabelMode::kTokens;
    options.threshold = c.at("threshold").get<float>();
    options.text_threshold = c.at("text_threshold").get<float>();
    options.count = 1;  // does not apply
    const PassOutput output{&pass, probabilities.data(), boxes.data(), c.at("queries").get<int>()};
    std::vector<Item> items(1);
    items[0].prompt = "first token";
    const ScoredItems got = score_items(std::span(&output, 1), items, c.at("width").get<int>(),
                                        c.at("height").get<int>(), options, text_of);

    const auto scores = c.at("expected").at("scores").get<std::vector<float>>();
    const auto labels = c.at("expected").at("labels").get<std::vector<std::string>>();
    const auto expected_boxes = c.at("expected").at("boxes").get<std::vector<std::vector<float>>>();
    std::vector<std::size_t> best_first(scores.size());
    std::iota(best_first.begin(), best_first.end(), 0U);
    std::stable_sort(best_first.begin(), best_first.end(),
                     [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
    ASSERT_EQ(got.detections.size(), scores.size());
    for (std::size_t i = 0; i < scores.size(); ++i) {
      const Detection& detection = got.detections[i];
      const std::size_t want = best_first[i];
      EXPECT_EQ(detection.item, labels[want]);
      EXPECT_EQ(detection.item_index, -1);
      EXPECT_FLOAT_EQ(detection.score, scores[want]);
      EXPECT_NEAR(detection.box.x0, expected_boxes[want][0], 1e-3);
      EXPECT_NEAR(detection.box.y0, expected_boxes[want][1], 1e-3);
      EXPECT_NEAR(detection.box.x1, expected_boxes[want][2], 1e-3);
      EXPECT_NEAR(detection.box.y1, expected_boxes[want][3], 1e-3);
    }
  }
}

TEST(TokenLabels, AnItemIsFoundWhenAKeptBoxHasItsTokens) {
  text::PromptPass pass;
  pass.ids = {101, 5, 1012, 6, 1012, 102};
  pass.spans = {{0, 1, 2}, {1, 3, 4}};
  const std::vector<float> probabilities = {0, 0.9F, 0, 0.26F, 0, 0};
  const std::vector<float> boxes = {0.5F, 0.5F, 0.2F, 0.2F};
  const PassOutput output{&pass, probabilities.data(), boxes.data(), 1};
  std::vector<Item> items(2);
  items[0].prompt = "hat";
  items[1].prompt = "belt";
  ScoringOptions options;
  options.labels = LabelMode::kTokens;
  const auto text_of = [](std::int32_t id) -> std::string_view { return id == 5 ? "hat" : "belt"; };
  const auto run = [&] {
    return score_items(std::span(&output, 1), items, 10, 10, options, text_of);
  };
  EXPECT_EQ(run().detections.at(0).item, "hat belt");
  EXPECT_TRUE(run().not_found.empty());
  options.text_threshold = 0.3F;
  EXPECT_EQ(run().detections.at(0).item, "hat");
  EXPECT_EQ(run().not_found, std::vector<std::string>{"belt"});
}

TEST(TokenLabels, ABoxOfACaptionNamesItsItem) {
  std::vector<text::PromptPass> captions(2);
  captions[0].ids = {101, 5, 102};
  captions[0].spans = {{0, 1, 2}};
  captions[1].ids = {101, 6, 102};
  captions[1].spans = {{1, 1, 2}};
  const std::vector<float> weak = {0, 0.4F, 0.2F};
  const std::vector<float> strong = {0, 0.2F, 0.6F};
  const std::vector<float> boxes = {0.5F, 0.5F, 0.2F, 0.2F};
  const std::vector<PassOutput> outputs = {{&captions[0], weak.data(), boxes.data(), 1},
                                           {&captions[1], strong.data(), boxes.data(), 1}};
  std::vector<Item> items(2);
  items[0].prompt = "hat";
  items[1].prompt = "belt";
  items[0].is_caption = items[1].is_caption = true;
  ScoringOptions options;
  options.labels = LabelMode::kTokens;
  const ScoredItems got =
      score_items(outputs, items, 10, 10, options, [](std::int32_t) { return "word"; });
  ASSERT_EQ(got.detections.size(), 2U);
  EXPECT_EQ(got.detections[0].item_index, 1);
  EXPECT_FLOAT_EQ(got.detections[0].score, 0.6F);  // the highest of all tokens, [SEP] included
  EXPECT_EQ(got.detections[1].item_index, 0);
}

TEST(DecodeTokens, EqualsTheReferenceDecoder) {
  const nlohmann::json decoded = reference().at("decoded");
  ASSERT_GE(decoded.size(), 7U);
  for (const nlohmann::json& c : decoded) {
    const auto tokens = c.at("tokens").get<std::vector<std::string>>();
    const std::vector<std::string_view> views(tokens.begin(), tokens.end());
    EXPECT_EQ(decode_tokens(views), c.at("text").get<std::string>());
  }
}

TEST(DecodeTokens, JoinsContractionsAsTheReferenceCleansThem) {
  EXPECT_EQ(decode_tokens(std::vector<std::string_view>{"it", "'s", "n't", "'x"}), "it'sn't 'x");
}

}  // namespace
}  // namespace itemcrop::items
