// The whole model on the GPU's executor and kernels: emulated on the CPU, or on a device.
#include <algorithm>
#include <array>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "parity/parity_case.h"

namespace itemcrop::test {
namespace {

// A stage's bound is ten roundings of fp16 (5e-4) or six of bf16 (4e-3). The widest use of it is in
// the smallest levels of the micro models: group norm over a few cells divides by a deviation that
// is small beside the values. Random weights' proposals lie close, so some queries change places.
constexpr Tolerance kFp16{5e-3, kAnyFinite, kAnyFinite, kAnyFinite, 0.95, 0.0};
constexpr Tolerance kCudaBf16{2.5e-2, kAnyFinite, kAnyFinite, kAnyFinite, 0.85, 0.0};

DetectOptions cuda_options(Precision precision) {
  DetectOptions options;
  options.device = Device::kCuda;
  options.precision = precision;
  options.threads = 2;
  return options;
}

class CudaParity : public ParityTest {
 protected:
  static void expect_parity_with(const DetectOptions& options, const Tolerance& tolerance,
                                 const model::ModelSwitches& switches = {}) {
    expect_parity(golden(), run_case(engine(), golden(), options, switches), tolerance);
  }
};

TEST_P(CudaParity, Fp32) { expect_parity_with(cuda_options(Precision::kFp32), kFp32); }
TEST_P(CudaParity, Fp16) { expect_parity_with(cuda_options(Precision::kFp16), kFp16); }
TEST_P(CudaParity, Bf16) { expect_parity_with(cuda_options(Precision::kBf16), kCudaBf16); }

TEST_P(CudaParity, Fp32WithoutTheSavings) {
  expect_parity_with(cuda_options(Precision::kFp32), kFp32,
                     {.folded_fusion = false, .selected_boxes_only = false});
}

#ifdef ITEMCROP_ON_DEVICE
INSTANTIATE_TEST_SUITE_P(Micro, CudaParity,
                         testing::Values("micro/below_window", "micro/landscape", "micro/portrait",
                                         "micro/window_multiple", "micro/strip", "micro/batch",
                                         "micro/masked_border", "micro/resized",
                                         "micro_wide/below_window", "micro_wide/landscape",
                                         "micro_wide/portrait", "micro_wide/batch"),
                         case_name);
INSTANTIATE_TEST_SUITE_P(Tiny, CudaParity, kTinyCases, case_name);
INSTANTIATE_TEST_SUITE_P(Base, CudaParity, kBaseCases, case_name);
INSTANTIATE_TEST_SUITE_P(MmMicro, CudaParity,
                         testing::Values("mm_micro/below_window", "mm_micro/landscape",
                                         "mm_micro/portrait", "mm_micro/batch"),
                         case_name);
INSTANTIATE_TEST_SUITE_P(MmTiny, CudaParity, kMmTinyCases, case_name);
INSTANTIATE_TEST_SUITE_P(MmLarge, CudaParity,
                         testing::Values("mm_large/small_items", "mm_large/small_batch"),
                         case_name);

// The embedded checkpoint: trained weights.
TEST(CudaWardrobe, ProceduralImage) {
  const auto model = Model::load(ITEMCROP_SOURCE_DIR "/models/wardrobe");
  const auto& engine = dynamic_cast<const engine::Engine&>(*model);
  const CaseGolden golden = load_case("wardrobe/procedural");
  expect_parity(golden, run_case(engine, golden, cuda_options(Precision::kFp32)), kFp32);
  expect_parity(golden, run_case(engine, golden, cuda_options(Precision::kFp16)), kFp16);
  expect_parity(golden, run_case(engine, golden, cuda_options(Precision::kBf16)), kBf16);
}
#else
// Emulation is slow: one case of each kind.
INSTANTIATE_TEST_SUITE_P(Micro, CudaParity,
                         testing::Values("micro/below_window", "micro/landscape", "micro/batch",
                                         "micro/resized", "mm_micro/landscape", "mm_micro/batch"),
                         case_name);
#endif

/// A case's raw outputs without a listener, so that work is sent in long lists as in use.
std::vector<model::SampleOutput> outputs_of(const engine::Engine& engine, const CaseGolden& golden,
                                            const std::vector<std::size_t>& chosen,
                                            Precision precision, int device_index = 0) {
  const std::vector<Image> images = procedural_images(golden);
  std::vector<DetectRequest> requests;
  for (const std::size_t i : chosen) {
    requests.push_back({.image = images[i].view(), .items = {{.prompt = "cat"}}, .scoring = {}});
    if (i % 2 == 1) requests.back().items.push_back({.prompt = "red dog"});
  }
  DetectOptions options = cuda_options(precision);
  options.device_index = device_index;
  options.deterministic = true;
  options.shortest_edge = golden.shortest_edge;
  options.longest_edge = golden.longest_edge;
  std::vector<model::SampleOutput> outputs;
  for (std::vector<engine::RawPass>& passes : engine.detect_raw(requests, options, {})) {
    outputs.push_back(std::move(passes.front().output));
  }
  return outputs;
}

void expect_identical(const model::SampleOutput& a, const model::SampleOutput& b) {
  EXPECT_EQ(a.logits, b.logits);
  EXPECT_EQ(a.boxes, b.boxes);
}

TEST(CudaModel, IsWhatAutoChooses) {
  const Image image = procedural_image(3, 40, 30);
  DetectRequest request{.image = image.view(), .items = {{.prompt = "cat"}}, .scoring = {}};
  const DetectReport report = procedural_engine("micro").detect(std::span(&request, 1), {});
  EXPECT_EQ(report.device, Device::kCuda);
  EXPECT_EQ(report.precision, Precision::kFp16);
  EXPECT_EQ(report.device_name, list_devices().back().name);
  EXPECT_GT(report.peak_workspace_bytes, 0U);
  release_procedural_engine();
}

// The first run launches, the second records, the third plays back.
TEST(CudaModel, RecordedRunsGiveTheSameBits) {
  const CaseGolden golden = load_case("micro/batch");
  const engine::Engine& engine = procedural_engine("micro");
  const auto first = outputs_of(engine, golden, {0, 1}, Precision::kFp16);
  for (int run = 0; run < 3; ++run) {
    // In between, other images of the same sizes and other work on the same addresses.
    const auto other = outputs_of(engine, golden, {1, 0}, Precision::kFp16);
    expect_identical(other[0], first[1]);
    const auto again = outputs_of(engine, golden, {0, 1}, Precision::kFp16);
    for (std::size_t i = 0; i < first.size(); ++i) expect_identical(again[i], first[i]);
  }
  release_procedural_engine();
}

TEST(CudaModel, AnswersDoNotDependOnTheCompany) {
  const CaseGolden golden = load_case("micro/batch");
  const engine::Engine& engine = procedural_engine("micro");
  for (const Precision precision : {Precision::kFp32, Precision::kFp16}) {
    const auto together = outputs_of(engine, golden, {0, 1, 0}, precision);
    expect_identical(together[0], together[2]);
    for (const std::size_t i : {0U, 1U}) {
      expect_identical(outputs_of(engine, golden, {i}, precision).front(), together[i]);
    }
  }
  release_procedural_engine();
}

// One loaded model on two devices: by one thread in turns, then by a thread each.
TEST(CudaModel, EveryDeviceGivesTheSameBits) {
  const auto usable = std::ranges::count_if(list_devices(), [](const DeviceInfo& info) {
    return info.device == Device::kCuda && info.usable;
  });
  if (usable < 2) GTEST_SKIP() << "one GPU";
  const CaseGolden golden = load_case("micro/batch");
  const engine::Engine& engine = procedural_engine("micro");
  const auto run = [&](int device) {
    return outputs_of(engine, golden, {0, 1}, Precision::kFp16, device);
  };
  const auto expected = run(0);
  for (const int device : {1, 0, 1}) {
    const auto again = run(device);
    for (std::size_t i = 0; i < expected.size(); ++i) expect_identical(again[i], expected[i]);
  }
  std::array<std::vector<model::SampleOutput>, 2> outputs;
  {
    std::vector<std::jthread> threads;
    for (int device = 0; device < 2; ++device) {
      threads.emplace_back(
          [&, device] { outputs[static_cast<std::size_t>(device)] = run(device); });
    }
  }
  for (const auto& output : outputs) {
    ASSERT_EQ(output.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) expect_identical(output[i], expected[i]);
  }
  release_procedural_engine();
}

}  // namespace
}  // namespace itemcrop::test
