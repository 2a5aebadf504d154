#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "parity/parity_case.h"

namespace itemcrop::test {
namespace {

// Small enough for sanitizers and for the portable kernels: every case, every switch.
class MicroParity : public ParityTest {
 protected:
  void SetUp() override {
    const std::string why = why_instruction_set_is_missing();
    if (!why.empty()) GTEST_SKIP() << why;
  }

  void expect_parity_with(const DetectOptions& options, const Tolerance& tolerance = kFp32,
                          const model::ModelSwitches& switches = {}) {
    expect_parity(golden(), run_case(engine(), golden(), options, switches), tolerance);
  }

  static DetectOptions cpu_fp32(int threads) {
    DetectOptions options;
    options.device = Device::kCpu;
    options.precision = Precision::kFp32;
    options.threads = threads;
    return options;
  }
};

TEST_P(MicroParity, Fp32) { expect_parity_with(cpu_fp32(2)); }

TEST_P(MicroParity, Fp32WithoutTheSavings) {
  expect_parity_with(cpu_fp32(1), kFp32, {.folded_fusion = false, .selected_boxes_only = false});
}

TEST_P(MicroParity, Bf16) {
  const std::vector<Precision> precisions = list_devices().front().precisions;
  if (std::ranges::find(precisions, Precision::kBf16) == precisions.end()) {
    GTEST_SKIP() << "this instruction set has no bf16";
  }
  DetectOptions options = cpu_fp32(2);
  options.precision = Precision::kBf16;
  expect_parity_with(options, kBf16);
}

INSTANTIATE_TEST_SUITE_P(Cases, MicroParity,
                         testing::Values("micro/below_window", "micro/landscape", "micro/portrait",
                                         "micro/window_multiple", "micro/strip", "micro/batch",
                                         "micro/masked_border", "micro/resized",
                                         "micro_wide/below_window", "micro_wide/landscape",
                                         "micro_wide/portrait", "micro_wide/batch",
                                         "mm_micro/below_window", "mm_micro/landscape",
                                         "mm_micro/portrait", "mm_micro/batch"),
                         case_name);

// The reference pads a batch; the engine must not: an image's stages are the same bits alone.
TEST(MicroBatch, EveryStageEqualsTheImageAlone) {
  const std::string why = why_instruction_set_is_missing();
  if (!why.empty()) GTEST_SKIP() << why;
  DetectOptions options;
  options.device = Device::kCpu;
  options.precision = Precision::kFp32;
  const engine::Engine& engine = procedural_engine("micro");
  const CaseGolden together = load_case("micro/batch");
  const std::vector<Stages> batch = run_case(engine, together, options);
  for (std::size_t i = 0; i < together.images.size(); ++i) {
    CaseGolden alone = together;
    alone.images = {together.images[i]};
    const Stages single = run_case(engine, alone, options).front();
    ASSERT_EQ(single.size(), batch[i].size());
    for (const auto& [name, stage] : single) {
      EXPECT_EQ(stage.values, batch[i].at(name).values) << name << " of image " << i;
    }
  }
  release_procedural_engine();
}

// Families score on scales of their own.
TEST(MicroScores, ARequestWithoutAThresholdGetsTheFamilys) {
  const std::string why = why_instruction_set_is_missing();
  if (!why.empty()) GTEST_SKIP() << why;
  EXPECT_FLOAT_EQ(procedural_engine("micro").info().threshold, 0.25F);
  const Model& model = procedural_engine("mm_micro");
  EXPECT_FLOAT_EQ(model.info().threshold, 0.4F);
  EXPECT_FLOAT_EQ(model.info().text_threshold, 0.3F);
  const CaseGolden golden = load_case("mm_micro/portrait");
  const Image image = procedural_images(golden).front();
  DetectRequest request{
      .image = image.view(), .items = items_of(golden.images.front().prompt), .scoring = {}};
  const auto count_at = [&](std::optional<float> threshold) {
    request.scoring.threshold = threshold;
    request.scoring.suppress = false;
    return model
        .detect(request, {.device = Device::kCpu,
                          .shortest_edge = golden.shortest_edge,
                          .longest_edge = golden.longest_edge})
        .detections.size();
  };
  EXPECT_EQ(count_at(std::nullopt), count_at(0.4F));
  EXPECT_LT(count_at(0.4F), count_at(0.05F));
  release_procedural_engine();
}

}  // namespace
}  // namespace itemcrop::test
