#include "model_files/known_models.h"

#include <set>

#include <gtest/gtest.h>

#include "core/ascii.h"
#include "model_files/hub_names.h"

namespace itemcrop::model_files {
namespace {

TEST(KnownModels, HaveNamesOfTheirOwnThatTheHubTakes) {
  std::set<std::string_view> names;
  for (const KnownModel& model : known_models()) {
    SCOPED_TRACE(model.repository);
    EXPECT_NO_THROW(check_model_name(std::string(model.repository)));
    EXPECT_TRUE(names.insert(model.name).second);
    EXPECT_EQ(find_known_model(model.name), &model);
    EXPECT_GT(model.megabytes, 600);
    EXPECT_EQ(model.licence, "Apache-2.0");
  }
}

TEST(KnownModels, AreFoundHoweverTheyAreWritten) {
  const KnownModel* tiny = find_known_model("llmdet-tiny");
  ASSERT_NE(tiny, nullptr);
  EXPECT_EQ(tiny->repository, "iSEE-Laboratory/llmdet_tiny");
  EXPECT_EQ(tiny, &known_models().front()) << "the recommended one";
  for (const char* name : {"llmdet_tiny", "LLMDet-Tiny", "iSEE-Laboratory/llmdet_tiny",
                           "isee-laboratory/llmdet-tiny", "somebody/llmdet_tiny"}) {
    EXPECT_EQ(find_known_model(name), tiny) << name;
  }
  EXPECT_EQ(find_known_model("llmdet"), nullptr);
  EXPECT_EQ(find_known_model("wardrobe"), nullptr);
  EXPECT_EQ(find_known_model(""), nullptr);
}

TEST(KnownModels, AShortNameBecomesTheRepository) {
  EXPECT_EQ(repository_of("llmdet-tiny"), "iSEE-Laboratory/llmdet_tiny");
  EXPECT_EQ(repository_of("somebody/llmdet_tiny"), "somebody/llmdet_tiny") << "whose copy is asked";
  EXPECT_EQ(repository_of("unheard-of"), "unheard-of");
}

TEST(KnownModels, OneNameIsOneModelUnlessTheOwnersDiffer) {
  EXPECT_TRUE(is_same_model("llmdet-tiny", "iSEE-Laboratory/llmdet_tiny"));
  EXPECT_TRUE(is_same_model("isee-laboratory/LLMDET_tiny", "iSEE-Laboratory/llmdet_tiny"));
  EXPECT_FALSE(is_same_model("somebody/llmdet_tiny", "iSEE-Laboratory/llmdet_tiny"));
  EXPECT_FALSE(is_same_model("llmdet-base", "iSEE-Laboratory/llmdet_tiny"));
}

}  // namespace
}  // namespace itemcrop::model_files
