#include "crop/search.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "taxonomy/taxonomy.h"

namespace itemcrop::crop {
namespace {

taxonomy::Taxonomy clothes() {
  return taxonomy::parse_taxonomy(R"(
format = 1
name = "clothes"
crop_threshold = 0.2

[[category]]
name = "tops"
kinds = [{ name = "shirt" }, { name = "jacket", layer = "outer" }]

[[category]]
name = "bottoms"
kinds = [{ name = "trousers" }]
)",
                                  "clothes.toml");
}

Item item(const std::string& prompt) {
  Item item;
  item.prompt = prompt;
  return item;
}

/// What a detector that found item `index` of a search says.
Detection found(const Search& search, std::size_t index, float score, const Box& box) {
  Detection detection;
  detection.item = search.items[index].prompt;
  detection.item_index = static_cast<int>(index);
  detection.score = score;
  detection.box = box;
  for (const Item& each : search.items) detection.scores.push_back({each.prompt, 0});
  detection.scores[index].score = score;
  return detection;
}

std::size_t index_of(const Search& search, const std::string& prompt) {
  for (std::size_t i = 0; i < search.items.size(); ++i) {
    if (search.items[i].prompt == prompt) return i;
  }
  ADD_FAILURE() << "no item '" << prompt << "'";
  return 0;
}

class SelectItems : public testing::Test {
 protected:
  std::vector<std::uint8_t> pixels_ = std::vector<std::uint8_t>(std::size_t{3} * 100 * 100, 200);
  ImageView image_{pixels_.data(), 100, 100, 0};
};

TEST(PlanSearch, OfItemsIsWhatWasAskedFor) {
  Request request;
  request.items = {item("hat"), item("belt")};
  request.scoring.threshold = 0.4F;
  request.scoring.count = 2;
  const Search search = plan_search(request, {});
  EXPECT_FALSE(search.plan);
  ASSERT_EQ(search.items.size(), 2U);
  EXPECT_FLOAT_EQ(search.scoring.threshold.value(), 0.4F);
  EXPECT_EQ(search.scoring.count, 2);
}

TEST(PlanSearch, OfCategoriesTakesTheTaxonomysThresholdUnlessOneIsGiven) {
  Request request;
  request.categories = {"tops"};
  Search search = plan_search(request, clothes());
  EXPECT_FLOAT_EQ(search.scoring.threshold.value(), 0.2F);
  EXPECT_FLOAT_EQ(search.items.front().threshold.value(), 0.2F);
  request.threshold = 0.6F;
  request.items = {item("hat")};
  search = plan_search(request, clothes());
  EXPECT_FLOAT_EQ(search.items.front().threshold.value(), 0.6F);
  EXPECT_EQ(search.scoring.threshold, std::nullopt) << "of the caller's own items";
  EXPECT_FALSE(search.items.back().threshold);
  EXPECT_EQ(search.items.back().prompt, "hat");
}

TEST(PlanSearch, OfCategoriesCountsBoxesOfAWordNotOfAKind) {
  Request request;
  request.categories = {"tops"};
  request.count_each = 3;
  request.scoring.count = 3;
  const Search search = plan_search(request, clothes());
  EXPECT_EQ(search.plan->targets[0].quota, 3);
  EXPECT_FALSE(search.scoring.count);
}

TEST(PlanSearch, SuppressionIsTheCallers) {
  Request request;
  request.categories = {"tops"};
  request.scoring.nms_iou = 0.7F;
  EXPECT_FLOAT_EQ(plan_search(request, clothes()).plan->selection.nms_iou, 0.7F);
  request.scoring.suppress = false;
  const Search search = plan_search(request, clothes());
  EXPECT_FLOAT_EQ(search.plan->selection.nms_iou, 1);
  EXPECT_FLOAT_EQ(search.plan->selection.containment, 1);
  EXPECT_FALSE(search.scoring.suppress);
}

TEST(PlanSearch, RefusesABlankWord) {
  Request request;
  request.categories = {" "};
  test::expect_error(ErrorCode::kInvalidArgument, "", [&] { plan_search(request, clothes()); });
}

TEST_F(SelectItems, CategoriesAndOwnItemsAreOneListBestFirst) {
  Request request;
  request.categories = {"tops", "bottoms"};
  request.items = {item("hat"), item("belt")};
  request.describe = true;
  const Search search = plan_search(request, clothes());
  DetectResult detected;
  detected.detections = {
      found(search, index_of(search, "hat"), 0.9F, {0, 0, 10, 10}),
      found(search, index_of(search, "shirt"), 0.8F, {20, 20, 60, 60}),
  };
  const FoundItems items = select_items(search, detected, image_);
  ASSERT_EQ(items.items.size(), 2U);
  EXPECT_EQ(items.items[0].detection.item, "hat");
  EXPECT_EQ(items.items[0].category, "");
  EXPECT_EQ(items.items[0].description, "hat");
  EXPECT_EQ(items.items[1].detection.item, "tops") << "the caller's word";
  EXPECT_EQ(items.items[1].category, "tops");
  EXPECT_EQ(items.items[1].prompt, "shirt");
  EXPECT_NE(items.items[1].description.find("shirt"), std::string::npos);
  EXPECT_EQ(items.not_found, (std::vector<std::string>{"bottoms", "belt"}));
}

TEST_F(SelectItems, ANameTakesTheBoxThatACategoryWouldHaveHad) {
  Request request;
  request.categories = {"tops", "bottoms"};
  request.items = {item("Shirt"), item("trousers")};
  const Search search = plan_search(request, clothes());
  EXPECT_EQ(search.items.size(), 3U) << "a prompt that both want is run once";
  DetectResult detected;
  detected.detections = {found(search, index_of(search, "shirt"), 0.8F, {20, 20, 60, 60})};
  const FoundItems items = select_items(search, detected, image_);
  ASSERT_EQ(items.items.size(), 1U);
  EXPECT_EQ(items.items[0].detection.item, "Shirt") << "the caller's word";
  EXPECT_EQ(items.items[0].category, "");
  EXPECT_EQ(items.not_found, (std::vector<std::string>{"bottoms", "trousers"}))
      << "a shirt is a top, so there are tops";
}

TEST_F(SelectItems, OneThingIsReturnedOnceWhateverWordsFindIt) {
  Request request;
  request.categories = {"tops"};
  request.items = {item("blue shirt")};
  const Search search = plan_search(request, clothes());
  DetectResult detected;
  detected.detections = {found(search, index_of(search, "blue shirt"), 0.9F, {20, 20, 60, 60}),
                         found(search, index_of(search, "shirt"), 0.8F, {21, 20, 60, 61})};
  EXPECT_EQ(select_items(search, detected, image_).items.size(), 1U);
}

TEST(PlanSearch, OwnItemsKeepTheirThresholdsAndCounts) {
  Request request;
  request.categories = {"tops"};
  request.items = {item("hat"), item("belt"), item("shirt"), item("hat")};
  request.items[1].threshold = 0.7F;
  request.items[1].count = 2;
  request.scoring.count = 5;
  const Search search = plan_search(request, clothes());
  EXPECT_FALSE(search.items[index_of(search, "hat")].threshold) << "the model's";
  EXPECT_FLOAT_EQ(search.items[index_of(search, "belt")].threshold.value(), 0.7F);
  EXPECT_FLOAT_EQ(search.items[index_of(search, "shirt")].threshold.value(), 0.2F);
  ASSERT_EQ(search.plan->targets.size(), 4U) << "an item named twice is one";
  EXPECT_EQ(search.plan->targets[1].quota, 5);
  EXPECT_EQ(search.plan->targets[2].quota, 2);
}

TEST(PlanSearch, ADistractorTakesItsPromptFromTheCategories) {
  Request request;
  request.categories = {"tops"};
  request.items = {item("shirt"), item("curtain")};
  request.items[0].distractor = request.items[1].distractor = true;
  const Search search = plan_search(request, clothes());
  const std::size_t shirt = index_of(search, "shirt");
  EXPECT_TRUE(search.items[shirt].distractor);
  EXPECT_TRUE(search.plan->meanings[shirt].targets.empty());
  EXPECT_TRUE(search.items[index_of(search, "curtain")].distractor);
  EXPECT_EQ(search.plan->targets.size(), 1U);
}

TEST_F(SelectItems, OrderCanBeThatOfTheWords) {
  Request request;
  request.categories = {"tops", "bottoms"};
  request.order = Order::kAsAsked;
  const Search search = plan_search(request, clothes());
  DetectResult detected;
  detected.detections = {found(search, index_of(search, "trousers"), 0.9F, {0, 50, 50, 100}),
                         found(search, index_of(search, "shirt"), 0.5F, {0, 0, 50, 50})};
  const FoundItems items = select_items(search, detected, image_);
  ASSERT_EQ(items.items.size(), 2U);
  EXPECT_EQ(items.items[0].category, "tops");
}

TEST_F(SelectItems, GluedLabelsBelongToNoItem) {
  Request request;
  request.items = {item("hat")};
  request.scoring.labels = LabelMode::kTokens;
  const Search search = plan_search(request, {});
  DetectResult detected;
  detected.detections.emplace_back().item = "hat belt";
  detected.not_found = {"hat"};
  const FoundItems items = select_items(search, detected, image_);
  ASSERT_EQ(items.items.size(), 1U);
  EXPECT_EQ(items.items[0].prompt, "hat belt");
  EXPECT_EQ(items.not_found, detected.not_found);
}

TEST_F(SelectItems, IsNotDoneForNobody) {
  Request request;
  request.categories = {"tops"};
  request.describe = true;
  const Search search = plan_search(request, clothes());
  DetectResult detected;
  detected.detections = {found(search, index_of(search, "shirt"), 0.8F, {20, 20, 60, 60})};
  std::stop_source source;
  source.request_stop();
  test::expect_error(ErrorCode::kCancelled, "nobody waits",
                     [&] { select_items(search, detected, image_, source.get_token()); });
}

}  // namespace
}  // namespace itemcrop::crop
