#include "taxonomy/model_hint.h"

#include <gtest/gtest.h>

namespace itemcrop::taxonomy {
namespace {

std::optional<std::string> hint(const char* model, std::size_t asked, std::size_t found) {
  static const Catalog catalog;
  return model_hint(catalog.for_model(model), model, {asked, found}, "llmdet-tiny");
}

TEST(ModelHint, SaysWhatTheModelKnowsAndWhichToGet) {
  const auto text = hint("wardrobe", 2, 0);
  ASSERT_TRUE(text);
  EXPECT_EQ(*text,
            "the model 'wardrobe' knows 17 kinds of clothes that lie flat or hang, not worn, and "
            "few other words; for anything else: itemcrop models pull llmdet-tiny, then --model "
            "llmdet-tiny");
}

TEST(ModelHint, ComesWhereNoneOrFewWereFound) {
  EXPECT_TRUE(hint("wardrobe", 1, 0));
  EXPECT_TRUE(hint("wardrobe", 8, 2));
  EXPECT_FALSE(hint("wardrobe", 8, 3));
  EXPECT_FALSE(hint("wardrobe", 1, 1));
  EXPECT_FALSE(hint("wardrobe", 0, 0));
}

TEST(ModelHint, AModelThatKnowsAnythingHasNone) {
  EXPECT_FALSE(hint("iSEE-Laboratory/llmdet_tiny", 5, 0));
}

}  // namespace
}  // namespace itemcrop::taxonomy
