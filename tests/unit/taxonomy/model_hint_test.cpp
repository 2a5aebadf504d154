#include "taxonomy/model_hint.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace itemcrop::taxonomy {
namespace {

using Words = std::vector<std::string>;

const Catalog& builtin_catalog() {
  static const Catalog builtin;
  return builtin;
}

std::optional<std::string> hint(const char* model, std::size_t asked, std::size_t found,
                                Words missed = {}) {
  return model_hint(builtin_catalog().for_model(model), model, {asked, found, std::move(missed)},
                    "itemcrop models pull llmdet-tiny");
}

TEST(ModelHint, SaysWhatTheModelKnowsAndWhichToGet) {
  EXPECT_EQ(hint("wardrobe", 2, 0),
            "the model 'wardrobe' knows 17 kinds of clothes that lie flat or hang, not worn, and "
            "few other words; for anything else: itemcrop models pull llmdet-tiny");
}

TEST(ModelHint, NamesTheWordsThatWereNeverTaught) {
  EXPECT_EQ(hint("wardrobe", 3, 1, {"handbag", "hat", "Hose"}).value().substr(0, 66),
            "the model 'wardrobe' was never taught 'handbag', 'Hose'; it knows ");
  EXPECT_NE(hint("wardrobe", 9, 4, {"mug", "lamp", "cat", "dog", "car"})->find("'cat' and 2 more"),
            std::string::npos);
  EXPECT_EQ(hint("wardrobe", 9, 4, {std::string(300, 'x')})->find("xx"), std::string::npos);
}

TEST(ModelHint, ComesWhereFewWereFoundOrAWordIsUnknown) {
  EXPECT_TRUE(hint("wardrobe", 1, 0));
  EXPECT_TRUE(hint("wardrobe", 8, 2));
  EXPECT_TRUE(hint("wardrobe", 8, 7, {"mug"}));
  EXPECT_FALSE(hint("wardrobe", 8, 3));
  EXPECT_FALSE(hint("wardrobe", 8, 7, {"hat"})) << "it was taught hats, there is none";
  EXPECT_FALSE(hint("wardrobe", 1, 1));
  EXPECT_FALSE(hint("wardrobe", 0, 0));
}

TEST(ModelHint, AModelThatKnowsAnythingHasNone) {
  EXPECT_FALSE(hint("iSEE-Laboratory/llmdet_tiny", 5, 0, {"mug"}));
}

TEST(Taught, IsWhatTheModelWasShown) {
  const Taxonomy& wardrobe = builtin_catalog().for_model("wardrobe");
  for (const char* word :
       {"tops", "outerwear", "T-Shirt", "navy blazer", "accessory", "sneakers"}) {
    EXPECT_TRUE(wardrobe.is_taught(word)) << word;
  }
  for (const char* word : {"bag", "handbag", "leather belt", "coffee mug", "Hose", ""}) {
    EXPECT_FALSE(wardrobe.is_taught(word)) << word;
  }
  EXPECT_TRUE(builtin_catalog().for_model("another").is_taught("coffee mug"));
}

TEST(Taught, WordsAreThoseOfTheSeventeenKinds) {
  const Words words = builtin_catalog().for_model("wardrobe").taught_words();
  EXPECT_EQ(words.size(), 17U);
  EXPECT_NE(std::find(words.begin(), words.end(), "t-shirt"), words.end());
  EXPECT_TRUE(builtin_catalog().for_model("another").taught_words().empty());
}

}  // namespace
}  // namespace itemcrop::taxonomy
