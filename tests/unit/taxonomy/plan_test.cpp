#include "taxonomy/plan.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace itemcrop::taxonomy {
namespace {

using test::expect_error;
using Words = std::vector<std::string>;

const Catalog& catalog() {
  static const Catalog kCatalog;
  return kCatalog;
}
const Taxonomy& wardrobe() { return catalog().named("wardrobe"); }

std::size_t index_of(const Plan& plan, const std::string& prompt) {
  const auto at = std::find_if(plan.items.begin(), plan.items.end(),
                               [&](const Item& item) { return item.prompt == prompt; });
  EXPECT_NE(at, plan.items.end()) << prompt;
  return static_cast<std::size_t>(at - plan.items.begin());
}

/// A detection of a prompt, with `also` as the scores of other prompts for its box.
Detection found(const Plan& plan, const std::string& prompt, float score, Box box,
                const std::vector<std::pair<std::string, float>>& also = {}) {
  Detection detection;
  detection.item = prompt;
  detection.item_index = static_cast<int>(index_of(plan, prompt));
  detection.score = score;
  detection.box = box;
  for (const Item& item : plan.items) detection.scores.push_back({item.prompt, 0.01F});
  detection.scores[static_cast<std::size_t>(detection.item_index)].score = score;
  for (const auto& [other, value] : also) detection.scores[index_of(plan, other)].score = value;
  return detection;
}

Words prompts_wanted(const Plan& plan) {
  Words prompts;
  for (std::size_t i = 0; i < plan.items.size(); ++i) {
    if (!plan.meanings[i].targets.empty()) prompts.push_back(plan.items[i].prompt);
  }
  return prompts;
}

Words kinds_of(const Selection& selection) {
  Words kinds;
  for (const Found& f : selection.found) kinds.push_back(f.kind);
  return kinds;
}

TEST(PlanCrop, ACategoryRunsAllItsKinds) {
  const Words words = {"bottoms"};
  const Plan plan = plan_crop(wardrobe(), words);
  EXPECT_EQ(prompts_wanted(plan), (Words{"pants", "shorts", "skirt"}));
  EXPECT_FLOAT_EQ(plan.scoring.threshold.value(), 0.15F);
  EXPECT_EQ(plan.max_found, 1U);
  ASSERT_EQ(plan.targets.size(), 1U);
  EXPECT_EQ(plan.targets[0].category, "bottoms");
  EXPECT_EQ(plan.items.size(), plan.meanings.size());
  EXPECT_GT(plan.items.size(), 3U) << "other categories' kinds compete";
}

TEST(PlanCrop, OtherKindsCompeteOnlyWithKnownWords) {
  CropPlanOptions alone;
  alone.compete = false;
  EXPECT_EQ(plan_crop(wardrobe(), Words{"bottoms"}, alone).items.size(), 3U);
  EXPECT_EQ(plan_crop(wardrobe(), Words{"bottoms", "lamp"}).items.size(), 4U);
  // Kinds of its own category would only take a single kind's boxes away.
  const Plan plan = plan_crop(wardrobe(), Words{"blouse"});
  for (const Item& item : plan.items) EXPECT_NE(item.prompt, "button-up shirt");
  index_of(plan, "pants");
}

TEST(PlanCrop, AliasesSynonymsAndFreeText) {
  const Plan plan = plan_crop(wardrobe(), Words{" Bags", "trousers", "floral  summer thing"});
  EXPECT_EQ(plan.targets[0].word, "Bags");
  EXPECT_EQ(plan.targets[0].category, "bag");
  EXPECT_EQ(plan.targets[1].category, "bottoms");
  EXPECT_EQ(plan.targets[2].category, "floral summer thing");
  EXPECT_EQ(prompts_wanted(plan), (Words{"bag", "pants", "floral summer thing"}));
  // What people call it is what it is called in the answer.
  EXPECT_EQ(plan.meanings[index_of(plan, "pants")].kind, "trousers");

  CropPlanOptions literal;
  literal.synonyms = false;
  EXPECT_EQ(prompts_wanted(plan_crop(wardrobe(), Words{"bags", "trousers"}, literal)),
            (Words{"bag", "trousers"}));
}

TEST(PlanCrop, APromptIsRunOnce) {
  const Plan plan = plan_crop(wardrobe(), Words{"tops", "outerwear", "Jacket"});
  Words prompts;
  for (const Item& item : plan.items) prompts.push_back(item.prompt);
  std::sort(prompts.begin(), prompts.end());
  EXPECT_EQ(std::adjacent_find(prompts.begin(), prompts.end()), prompts.end());
  EXPECT_EQ(plan.meanings[index_of(plan, "jacket")].targets, (std::vector<std::size_t>{0, 1, 2}));
}

TEST(PlanCrop, CountMeansWhatItMeantAndMore) {
  EXPECT_EQ(plan_crop(wardrobe(), Words{"tops", "shoes"}).max_found, 2U);
  EXPECT_EQ(plan_crop(wardrobe(), Words{"tops", "shoes"}).extra, 0U);
  CropPlanOptions options;
  options.count = 5;
  const Plan more = plan_crop(wardrobe(), Words{"tops", "shoes"}, options);
  EXPECT_EQ(more.max_found, 5U);
  EXPECT_EQ(more.extra, 3U);
  const Plan twice = plan_crop(wardrobe(), Words{"bag", "tops", "bags"});
  ASSERT_EQ(twice.targets.size(), 2U);
  EXPECT_EQ(twice.targets[0].quota, 2);
  EXPECT_EQ(twice.max_found, 3U);
}

TEST(PlanCrop, RefusesBadRequests) {
  expect_error(ErrorCode::kInvalidArgument, "categories must name at least one",
               [] { plan_crop(wardrobe(), Words{}); });
  expect_error(ErrorCode::kInvalidArgument, "categories[1] must not be blank", [] {
    plan_crop(wardrobe(), Words{"tops", " \t"});
  });
  expect_error(ErrorCode::kLimitExceeded, "categories must be at most 100, got 101",
               [] { plan_crop(wardrobe(), Words(101, "tops")); });
  CropPlanOptions options;
  options.count = 0;
  expect_error(ErrorCode::kInvalidArgument, "count must be at least 1, got 0",
               [&] { plan_crop(wardrobe(), Words{"tops"}, options); });
  options = {};
  options.threshold = 1.5F;
  expect_error(ErrorCode::kInvalidArgument, "threshold must be between 0 and 1",
               [&] { plan_crop(wardrobe(), Words{"tops"}, options); });
}

TEST(Select, TheBestKindOfACategoryWins) {
  const Plan plan = plan_crop(wardrobe(), Words{"shoes", "tops"});
  const std::vector<Detection> detections = {found(plan, "t-shirt", 0.5F, {0, 0, 50, 50}),
                                             found(plan, "hoodie", 0.8F, {60, 0, 99, 50}),
                                             found(plan, "shoes", 0.3F, {0, 60, 40, 99})};
  const Selection selection = select(plan, detections);
  EXPECT_EQ(kinds_of(selection), (Words{"shoes", "hoodie"}));
  EXPECT_EQ(selection.found[1].category, "tops");
  EXPECT_EQ(selection.found[1].detection, 1U);
  EXPECT_FLOAT_EQ(selection.found[1].score, 0.8F);
  EXPECT_TRUE(selection.not_found.empty());
}

TEST(Select, OneGarmentIsOneCrop) {
  CropPlanOptions options;
  options.count = 9;
  const Plan plan = plan_crop(wardrobe(), Words{"tops", "dress", "bottoms"}, options);
  const std::vector<Detection> detections = {
      found(plan, "dress", 0.7F, {10, 10, 90, 190}),
      found(plan, "t-shirt", 0.6F, {12, 12, 88, 90}),    // the dress' upper part
      found(plan, "skirt", 0.5F, {12, 95, 88, 189}),     // its lower part
      found(plan, "crop top", 0.4F, {11, 10, 90, 185}),  // the dress again
      found(plan, "button-up shirt", 0.65F, {200, 0, 300, 100}),
      found(plan, "blouse", 0.3F, {205, 5, 295, 95}),        // the same by another kind
      found(plan, "polo shirt", 0.25F, {230, 10, 260, 40}),  // nested: a sleeve
      found(plan, "hoodie", 0.2F, {150, 0, 310, 120})};      // a larger box about it
  const Selection selection = select(plan, detections);
  EXPECT_EQ(kinds_of(selection), (Words{"shirt", "dress"}));
  EXPECT_EQ(selection.not_found, Words{"bottoms"});
}

TEST(Select, LayersMayBeWornOverEachOther) {
  CropPlanOptions options;
  options.count = 2;
  const Plan plan = plan_crop(wardrobe(), Words{"tops"}, options);
  const std::vector<Detection> detections = {found(plan, "blazer", 0.8F, {0, 0, 100, 100}),
                                             found(plan, "t-shirt", 0.6F, {30, 5, 70, 95}),
                                             found(plan, "jacket", 0.5F, {5, 5, 95, 95})};
  EXPECT_EQ(kinds_of(select(plan, detections)), (Words{"blazer", "t-shirt"}));
}

TEST(Select, AnAccessoryOnAGarmentIsNoPartOfIt) {
  const Plan plan = plan_crop(wardrobe(), Words{"dress", "accessory"});
  const std::vector<Detection> detections = {found(plan, "dress", 0.8F, {0, 0, 100, 200}),
                                             found(plan, "belt", 0.5F, {20, 90, 80, 100})};
  EXPECT_EQ(kinds_of(select(plan, detections)), (Words{"dress", "belt"}));
}

TEST(Select, AMissingCategoryIsNotMadeUpForByASecondOfAnother) {
  const Plan plan = plan_crop(wardrobe(), Words{"tops", "shoes"});
  const std::vector<Detection> detections = {found(plan, "t-shirt", 0.8F, {0, 0, 50, 50}),
                                             found(plan, "hoodie", 0.7F, {60, 0, 99, 50})};
  const Selection selection = select(plan, detections);
  EXPECT_EQ(kinds_of(selection), Words{"t-shirt"});
  EXPECT_EQ(selection.not_found, Words{"shoes"});
}

TEST(Select, CountsAboveAndBelowTheNumberOfCategories) {
  CropPlanOptions options;
  const auto run = [&](int count) {
    options.count = count;
    const Plan plan = plan_crop(wardrobe(), Words{"shoes", "tops"}, options);
    return kinds_of(
        select(plan, std::vector<Detection>{found(plan, "t-shirt", 0.8F, {0, 0, 50, 50}),
                                            found(plan, "hoodie", 0.7F, {60, 0, 99, 50}),
                                            found(plan, "shoes", 0.3F, {0, 60, 20, 99}),
                                            found(plan, "shoes", 0.2F, {50, 60, 70, 99})}));
  };
  EXPECT_EQ(run(1), Words{"shoes"});
  EXPECT_EQ(run(2), (Words{"shoes", "t-shirt"}));
  EXPECT_EQ(run(3), (Words{"shoes", "t-shirt", "hoodie"}));
  EXPECT_EQ(run(9), (Words{"shoes", "shoes", "t-shirt", "hoodie"}));
}

TEST(Select, TheWordThatMeansLessComesFirst) {
  const Plan plan = plan_crop(wardrobe(), Words{"tops", "jacket"});
  const std::vector<Detection> detections = {found(plan, "jacket", 0.9F, {0, 0, 50, 50}),
                                             found(plan, "t-shirt", 0.3F, {60, 0, 99, 50})};
  const Selection selection = select(plan, detections);
  ASSERT_EQ(kinds_of(selection), (Words{"t-shirt", "jacket"}));
  EXPECT_EQ(selection.found[0].target, 0U);
  EXPECT_EQ(selection.found[1].target, 1U);
}

TEST(Select, ACompetitorKeepsItsBoxUnlessTheWantedKindIsNearlyAsGood) {
  const Plan plan = plan_crop(wardrobe(), Words{"tops"});
  const Box box = {0, 0, 50, 50};
  const std::vector<Detection> trousers = {found(plan, "pants", 0.9F, box, {{"t-shirt", 0.05F}})};
  EXPECT_TRUE(select(plan, trousers).found.empty());
  EXPECT_EQ(select(plan, trousers).not_found, Words{"tops"});

  const std::vector<Detection> tunic = {
      found(plan, "dress", 0.6F, box, {{"blouse", 0.45F}, {"t-shirt", 0.3F}})};
  const Selection selection = select(plan, tunic);
  ASSERT_EQ(kinds_of(selection), Words{"blouse"});
  EXPECT_FLOAT_EQ(selection.found[0].score, 0.45F);
  EXPECT_EQ(selection.found[0].prompt, "blouse");
}

TEST(Select, IgnoresWhatIsNotOfThePlan) {
  const Plan plan = plan_crop(wardrobe(), Words{"tops"});
  Detection glued;  // LabelMode::kTokens
  glued.item_index = -1;
  glued.score = 0.9F;
  glued.box = {0, 0, 9, 9};
  Detection beyond = glued;
  beyond.item_index = 100'000;
  EXPECT_TRUE(select(plan, std::vector<Detection>{glued, beyond}).found.empty());
  EXPECT_EQ(select(plan, {}).not_found, Words{"tops"});
}

TEST(PlanAnalysis, LooksForEverythingInOnePass) {
  const Plan plan = plan_analysis(wardrobe());
  EXPECT_EQ(plan.targets.size(), wardrobe().categories.size());
  EXPECT_EQ(plan.items.size(), wardrobe().kinds.size());
  EXPECT_FLOAT_EQ(plan.scoring.threshold.value(), wardrobe().analysis_threshold);

  const std::vector<Detection> detections = {found(plan, "hat", 0.4F, {0, 0, 20, 20}),
                                             found(plan, "t-shirt", 0.8F, {30, 0, 60, 50}),
                                             found(plan, "t-shirt", 0.7F, {70, 0, 99, 50})};
  const Selection selection = select(plan, detections);
  EXPECT_EQ(kinds_of(selection), (Words{"t-shirt", "t-shirt", "hat"})) << "best first";
  EXPECT_EQ(selection.found[2].category, "accessory");

  AnalysisPlanOptions options;
  options.max_items = 1;
  const Plan short_plan = plan_analysis(wardrobe(), options);
  EXPECT_EQ(select(short_plan, detections).found.size(), 1U);
}

TEST(PlanAnalysis, AKindsThresholdHoldsUnlessTheCallerHasOne) {
  const Taxonomy taxonomy = parse_taxonomy(
      "format=1\nname='t'\nanalysis_threshold=0.3\n[[category]]\nname='c'\n"
      "kinds=[{name='a', threshold=0.6}, 'b']\n",
      "t");
  const Plan plan = plan_analysis(taxonomy);
  EXPECT_FLOAT_EQ(plan.scoring.threshold.value(), 0.3F);
  EXPECT_FLOAT_EQ(plan.items[0].threshold.value(), 0.6F);
  EXPECT_FALSE(plan.items[1].threshold);
  AnalysisPlanOptions options;
  options.threshold = 0.1F;
  EXPECT_FALSE(plan_analysis(taxonomy, options).items[0].threshold);
}

TEST(PlanListed, RunsTheListsPrompts) {
  const std::vector<ListedItem> listed = {
      {"Tops", "navy blazer", "A navy blazer with gold buttons."},
      {"bags", "tote", ""},
      {"", "white sneakers", ""},
      {"gadget", "drone", ""},
      {"tops", "Navy  Blazer", ""}};
  const Plan plan = plan_listed(wardrobe(), listed);
  ASSERT_EQ(plan.targets.size(), 4U);
  EXPECT_EQ(plan.targets[0].category, "tops");
  EXPECT_EQ(plan.targets[0].quota, 2);
  EXPECT_EQ(plan.targets[1].category, "bag");
  EXPECT_EQ(plan.targets[2].category, "shoes");
  EXPECT_EQ(plan.targets[3].category, "gadget");
  EXPECT_EQ(prompts_wanted(plan), (Words{"navy blazer", "tote", "white sneakers", "drone"}));
  EXPECT_EQ(plan.meanings[0].layer, "outer");

  const Selection selection =
      select(plan, std::vector<Detection>{found(plan, "navy blazer", 0.5F, {0, 0, 9, 9}),
                                          found(plan, "drone", 0.9F, {20, 0, 29, 9})});
  EXPECT_EQ(kinds_of(selection), (Words{"drone", "navy blazer"}));
  EXPECT_EQ(selection.found[1].description, "A navy blazer with gold buttons.");
  EXPECT_EQ(selection.not_found, (Words{"tote", "white sneakers"}));
  EXPECT_TRUE(plan_listed(wardrobe(), {}).items.empty());
}

TEST(DescribeSelection, FillsInColourAndKind) {
  const Plan plan = plan_crop(wardrobe(), Words{"tops", "red thing"});
  std::vector<std::uint8_t> pixels(3 * 100 * 100);
  for (std::size_t i = 0; i < pixels.size(); i += 3) {
    pixels[i] = 25;
    pixels[i + 1] = 32;
    pixels[i + 2] = 75;
  }
  Selection selection =
      select(plan, std::vector<Detection>{found(plan, "blazer", 0.5F, {0, 0, 40, 40}),
                                          found(plan, "red thing", 0.5F, {60, 60, 90, 90})});
  describe(plan, {pixels.data(), 100, 100, 0}, selection);
  ASSERT_EQ(selection.found.size(), 2U);
  EXPECT_EQ(selection.found[0].description, "navy blazer");
  EXPECT_EQ(selection.found[1].description, "red thing");
  selection.found[0].description = "given";
  describe(plan, {pixels.data(), 100, 100, 0}, selection);
  EXPECT_EQ(selection.found[0].description, "given");
}

}  // namespace
}  // namespace itemcrop::taxonomy
