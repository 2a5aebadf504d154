#include <bit>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <zlib.h>

#include "io/weight_table.h"
#include "support/golden.h"
#include "support/procedural_image.h"
#include "support/procedural_weights.h"

namespace itemcrop::test {
namespace {

std::uint32_t crc32_of(const void* data, std::size_t bytes) {
  return static_cast<std::uint32_t>(
      ::crc32(0, static_cast<const Bytef*>(data), static_cast<uInt>(bytes)));
}

// The Python twin wrote these checksums; a difference of one bit in any element fails.
TEST(ProceduralWeights, AgreeWithPython) {
  const nlohmann::ordered_json golden = load_golden_json("weights/checksums.json");
  ASSERT_GT(golden.at("tensors").size(), 100U);
  for (const nlohmann::ordered_json& row : golden.at("tensors")) {
    const auto name = row.at("name").get<std::string>();
    SCOPED_TRACE(name);
    const auto shape = row.at("shape").get<std::vector<std::int64_t>>();
    const double scale = row.value("logit_scale", 1.0);
    const OffsetAndScale rule = procedural_rule(name, shape, scale);
    EXPECT_EQ(std::bit_cast<std::uint32_t>(rule.offset), row.at("offset_bits"));
    EXPECT_EQ(std::bit_cast<std::uint32_t>(rule.scale), row.at("scale_bits"));
    const std::vector<float> tensor = procedural_tensor(name, shape, scale);
    for (std::size_t i = 0; i < row.at("first_bits").size(); ++i) {
      EXPECT_EQ(std::bit_cast<std::uint32_t>(tensor[i]), row.at("first_bits").at(i));
    }
    EXPECT_EQ(crc32_of(tensor.data(), tensor.size() * sizeof(float)), row.at("crc32"));
  }
}

TEST(ProceduralWeights, AnyRangeEqualsThatPartOfTheWhole) {
  const std::vector<std::int64_t> shape{7, 11};
  const std::vector<float> whole = procedural_tensor("a.weight", shape, 1.0);
  std::vector<float> part(20);
  procedural_values("a.weight", shape, 1.0, 31, part);
  EXPECT_EQ(part, std::vector<float>(whole.begin() + 31, whole.begin() + 51));
}

TEST(ProceduralImage, AgreesWithPython) {
  const nlohmann::ordered_json golden = load_golden_json("resize/pixels.json");
  ASSERT_GE(golden.at("cases").size(), 10U);
  for (const nlohmann::ordered_json& row : golden.at("cases")) {
    const Image image = procedural_image(row.at("seed").get<std::uint64_t>(),
                                         row.at("width").get<int>(), row.at("height").get<int>());
    EXPECT_EQ(crc32_of(image.pixels.data(), image.pixels.size()), row.at("input_crc32"))
        << "seed " << row.at("seed");
  }
}

// The engine's table of weights against the state dict that the reference saves.
class WeightTable : public testing::TestWithParam<std::string> {};

TEST_P(WeightTable, IsTheReferencesStateDict) {
  const auto config =
      io::parse_model_config(load_golden_json(GetParam() + "/config.json").dump(),
                             load_golden_json(GetParam() + "/preprocessor_config.json").dump());
  std::map<std::string, std::vector<std::int64_t>> expected;
  const nlohmann::ordered_json golden = load_golden_json(GetParam() + "/tensors.json");
  for (const nlohmann::ordered_json& row : golden.at("tensors")) {
    expected[row.at(0)] = row.at(1).get<std::vector<std::int64_t>>();
  }
  std::map<std::string, std::vector<std::int64_t>> actual;
  for (const io::WeightSpec& spec : io::weight_table(config)) actual[spec.name] = spec.shape;
  EXPECT_EQ(actual, expected);
}

INSTANTIATE_TEST_SUITE_P(Configs, WeightTable,
                         testing::Values("tiny", "base", "micro", "micro_wide"),
                         [](const auto& tested) { return tested.param; });

}  // namespace
}  // namespace itemcrop::test
