#include "io/weight_table.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "small_config.h"

namespace itemcrop::io {
namespace {

using Shapes = std::map<std::string, std::vector<std::int64_t>>;

Shapes shapes_of(const ModelConfig& config) {
  Shapes shapes;
  for (const WeightSpec& spec : weight_table(config)) {
    EXPECT_TRUE(shapes.emplace(spec.name, spec.shape).second) << spec.name << " is listed twice";
  }
  return shapes;
}

/// Configs and the tensors that transformers saves for them; see tests/reference/dump_reference.py.
class ReferenceShapes : public testing::TestWithParam<const char*> {};

TEST_P(ReferenceShapes, AreThoseOfTheTable) {
  const std::filesystem::path folder = std::filesystem::path(ITEMCROP_GOLDEN_DIR) / GetParam();
  std::ifstream file(folder / "tensors.json");
  ASSERT_TRUE(file.is_open()) << folder;
  const auto golden = nlohmann::json::parse(file);
  Shapes expected;
  for (const auto& row : golden.at("tensors")) {
    expected.emplace(row.at(0), row.at(1).get<std::vector<std::int64_t>>());
  }
  ASSERT_FALSE(expected.empty());
  const Shapes actual = shapes_of(load_model_config(folder));
  for (const auto& [name, shape] : expected) {
    const auto found = actual.find(name);
    ASSERT_NE(found, actual.end()) << name << " is missing";
    EXPECT_EQ(found->second, shape) << name;
  }
  EXPECT_EQ(actual.size(), expected.size());
}

INSTANTIATE_TEST_SUITE_P(WeightTable, ReferenceShapes,
                         testing::Values("tiny", "base", "micro", "micro_wide", "mm_tiny",
                                         "mm_large", "mm_micro"));

TEST(WeightTable, SwinWithoutBiasHasNone) {
  nlohmann::json config = test::small_config();
  config["backbone_config"]["qkv_bias"] = false;
  const Shapes shapes = shapes_of(parse_model_config(config.dump(), ""));
  const std::string attention =
      "model.backbone.conv_encoder.model.encoder.layers.0.blocks.0.attention.";
  EXPECT_TRUE(shapes.contains(attention + "self.query.weight"));
  EXPECT_FALSE(shapes.contains(attention + "self.query.bias"));
  EXPECT_TRUE(shapes.contains(attention + "output.dense.bias"));
}

TEST(WeightTable, ExtraLevelsAreConvolutionsOfTheLevelBefore) {
  nlohmann::json config = test::small_config();
  config["num_feature_levels"] = 4;
  const Shapes shapes = shapes_of(parse_model_config(config.dump(), ""));
  EXPECT_EQ(shapes.at("model.input_proj_vision.1.0.weight"),
            (std::vector<std::int64_t>{64, 64, 1, 1}));
  EXPECT_EQ(shapes.at("model.input_proj_vision.2.0.weight"),
            (std::vector<std::int64_t>{64, 64, 3, 3}));
  EXPECT_EQ(shapes.at("model.input_proj_vision.3.0.weight"),
            (std::vector<std::int64_t>{64, 64, 3, 3}));
}

std::set<std::string> names_of(const WeightSpec& spec) {
  std::set<std::string> names(spec.aliases.begin(), spec.aliases.end());
  names.insert(spec.name);
  return names;
}

std::set<std::string> names_of_first_box_bias(bool share) {
  nlohmann::json config = test::small_config();
  config["decoder_bbox_embed_share"] = share;
  const auto table = weight_table(parse_model_config(config.dump(), ""));
  const auto found = std::find_if(table.begin(), table.end(), [](const WeightSpec& spec) {
    return spec.name == "bbox_embed.0.layers.2.bias";
  });
  return found == table.end() ? std::set<std::string>{} : names_of(*found);
}

TEST(WeightTable, BoxHeadsAreKnownUnderTwoNamesAndSharedUnderAllLayers) {
  EXPECT_EQ(names_of_first_box_bias(false),
            (std::set<std::string>{"bbox_embed.0.layers.2.bias",
                                   "model.decoder.bbox_embed.0.layers.2.bias"}));
  EXPECT_EQ(names_of_first_box_bias(true),
            (std::set<std::string>{
                "bbox_embed.0.layers.2.bias", "model.decoder.bbox_embed.0.layers.2.bias",
                "bbox_embed.1.layers.2.bias", "model.decoder.bbox_embed.1.layers.2.bias"}));
}

TEST(WeightTable, MmGroundingDinoHasIndependentHeadsWithAScalarBias) {
  nlohmann::json config = test::small_config();
  config["model_type"] = "mm-grounding-dino";
  const Shapes shapes = shapes_of(parse_model_config(config.dump(), ""));
  EXPECT_TRUE(shapes.contains("bbox_embed.1.layers.0.weight"));
  EXPECT_TRUE(shapes.at("class_embed.1.bias").empty());
  EXPECT_TRUE(shapes.at("model.encoder_output_class_embed.bias").empty());
}

TEST(WeightTable, ClassHeadsWithoutABiasHaveNoWeights) {
  for (const auto& [name, shape] : shapes_of(parse_model_config(test::small_config().dump(), ""))) {
    EXPECT_EQ(name.find("class_embed"), std::string::npos) << name;
  }
}

}  // namespace
}  // namespace itemcrop::io
