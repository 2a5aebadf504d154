#include "crop/hints.h"

#include <gtest/gtest.h>

namespace itemcrop::crop {
namespace {

using Words = std::vector<std::string>;

ImageResult image(Words not_found) {
  ImageResult result;
  result.not_found = std::move(not_found);
  return result;
}

Request request_for(const Words& items, Words categories = {}) {
  Request request;
  for (const std::string& word : items) request.items.emplace_back().prompt = word;
  request.categories = std::move(categories);
  return request;
}

TEST(Findings, CountWordsOfImagesThatWereProcessed) {
  ImageResult failed;
  failed.error = Error(ErrorCode::kCorruptImage, "damaged");
  const std::vector<ImageResult> images = {image({"belt", "bag"}), image({"bag"}), failed};
  const taxonomy::Findings findings = findings_of(request_for({"hat", "belt"}, {"bag"}), images);
  EXPECT_EQ(findings.asked, 6U);
  EXPECT_EQ(findings.found, 3U);
  EXPECT_EQ(findings.missed, Words{"bag"});
}

TEST(Findings, LeaveDistractorsOut) {
  Request request = request_for({"hat", "curtain"});
  request.items[1].distractor = true;
  EXPECT_EQ(findings_of(request, std::vector<ImageResult>{image({})}).asked, 1U);
}

TEST(ModelHints, AreOneLineOrNone) {
  const taxonomy::Catalog catalog;
  const taxonomy::Taxonomy& words = catalog.for_model("wardrobe");
  const std::vector<ImageResult> images = {image({"mug"})};
  const Words hints = model_hints(request_for({"mug"}), images, words, "wardrobe", "pull another");
  ASSERT_EQ(hints.size(), 1U);
  EXPECT_TRUE(hints[0].ends_with("pull another"));
  EXPECT_EQ(hints[0].find('\n'), std::string::npos);
  const std::vector<ImageResult> found = {image({})};
  EXPECT_TRUE(model_hints(request_for({"hat"}), found, words, "wardrobe", "").empty());
  EXPECT_TRUE(model_hints(request_for({"mug"}), {}, words, "wardrobe", "").empty());
}

}  // namespace
}  // namespace itemcrop::crop
