#include "engine/engine.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "unit/engine/micro_engine.h"

namespace itemcrop {
namespace {

using test::micro_engine;
using test::procedural_image;
using test::request_for;

const std::vector<std::string> kItems{"navy blazer", "pants", "a red scarf"};

DetectOptions fp32(int threads = 1) {
  DetectOptions options;
  options.device = Device::kCpu;
  options.precision = Precision::kFp32;
  options.threads = threads;
  return options;
}

/// Bit patterns count: "the same" means the same floats.
void expect_identical(const engine::RawPass& a, const engine::RawPass& b) {
  EXPECT_EQ(a.prompt.ids, b.prompt.ids);
  EXPECT_EQ(a.output.logits, b.output.logits);
  EXPECT_EQ(a.output.boxes, b.output.boxes);
}

class EnginePrecision : public testing::TestWithParam<Precision> {
 protected:
  DetectOptions options(int threads) const {
    DetectOptions result = fp32(threads);
    result.precision = GetParam();
    return result;
  }
  void SetUp() override {
    const std::vector<DeviceInfo> devices = list_devices();
    const auto& runs = devices.front().precisions;
    if (std::find(runs.begin(), runs.end(), GetParam()) == runs.end()) {
      GTEST_SKIP() << devices.front().name << " does not run " << to_string(GetParam());
    }
  }
};

TEST_P(EnginePrecision, ResultsDependNeitherOnTheBatchNorOnThreads) {
  const auto engine = micro_engine();
  const test::Image wide = procedural_image(1, 150, 61);
  const test::Image tall = procedural_image(2, 70, 133);
  const test::Image small = procedural_image(3, 40, 40);
  const std::vector<DetectRequest> requests{request_for(wide, kItems), request_for(tall, {"shoes"}),
                                            request_for(small, {"hat", "dress"})};
  const auto together = engine->detect_raw(requests, options(3), {});
  for (std::size_t i = 0; i < requests.size(); ++i) {
    SCOPED_TRACE(i);
    const auto alone = engine->detect_raw(std::span(&requests[i], 1), options(1), {});
    ASSERT_EQ(alone[0].size(), together[i].size());
    expect_identical(alone[0][0], together[i][0]);
  }
}

INSTANTIATE_TEST_SUITE_P(Cpu, EnginePrecision, testing::Values(Precision::kFp32, Precision::kBf16),
                         [](const auto& run) { return std::string(to_string(run.param)); });

TEST(Engine, RepeatsItself) {
  const auto engine = micro_engine();
  const test::Image image = procedural_image(5, 150, 61);
  const DetectRequest request = request_for(image, kItems);
  const auto first = engine->detect_raw(std::span(&request, 1), fp32(2), {});
  const auto second = engine->detect_raw(std::span(&request, 1), fp32(2), {});
  expect_identical(first[0][0], second[0][0]);
}

TEST(Engine, SavingsAreExactButForRounding) {
  const auto engine = micro_engine();
  const test::Image image = procedural_image(7, 150, 61);
  const DetectRequest request = request_for(image, kItems);
  const model::ModelSwitches plain{.folded_fusion = false, .selected_boxes_only = false};
  const auto saved = engine->detect_raw(std::span(&request, 1), fp32(), {});
  const auto written_out = engine->detect_raw(std::span(&request, 1), fp32(), {}, plain);
  const auto& a = saved[0][0].output;
  const auto& b = written_out[0][0].output;
  ASSERT_EQ(a.logits.size(), b.logits.size());
  for (std::size_t i = 0; i < a.logits.size(); ++i) EXPECT_NEAR(a.logits[i], b.logits[i], 2e-3);
  for (std::size_t i = 0; i < a.boxes.size(); ++i) EXPECT_NEAR(a.boxes[i], b.boxes[i], 1e-4);
}

TEST(Engine, DeterministicIsNothingNewToTheCpu) {
  DetectOptions held = fp32();
  held.deterministic = true;
  EXPECT_EQ(engine::resolve_backend(held), engine::resolve_backend(fp32()))
      << "weights would be prepared twice";
}

TEST(Engine, SelectedBoxesAloneAreBitIdentical) {
  const auto engine = micro_engine();
  const test::Image image = procedural_image(8, 150, 61);
  const DetectRequest request = request_for(image, kItems);
  const model::ModelSwitches all_boxes{.selected_boxes_only = false};
  expect_identical(engine->detect_raw(std::span(&request, 1), fp32(), {})[0][0],
                   engine->detect_raw(std::span(&request, 1), fp32(), {}, all_boxes)[0][0]);
}

TEST(Engine, CachedTextGivesTheSameAnswer) {
  const auto engine = micro_engine();
  const test::Image image = procedural_image(9, 80, 80);
  const DetectRequest request = request_for(image, kItems);
  const auto fresh = engine->detect_raw(std::span(&request, 1), fp32(), {});
  const auto cached = engine->detect_raw(std::span(&request, 1), fp32(), {});
  const auto other = micro_engine()->detect_raw(std::span(&request, 1), fp32(), {});
  expect_identical(fresh[0][0], cached[0][0]);
  expect_identical(fresh[0][0], other[0][0]);
}

TEST(Engine, SplitsLongPromptsIntoPassesAndMergesThem) {
  const auto engine = micro_engine();
  const test::Image image = procedural_image(10, 80, 80);
  std::vector<std::string> items;
  for (int i = 0; i < 60; ++i) items.push_back("item number " + std::to_string(i));
  const DetectRequest request = request_for(image, items);
  const DetectReport report = engine->detect(std::span(&request, 1), fp32());
  EXPECT_GT(report.results[0].passes, 1);
  for (const Detection& found : report.results[0].detections) {
    EXPECT_EQ(found.scores.size(), items.size());
  }
  const auto raw = engine->detect_raw(std::span(&request, 1), fp32(), {});
  ASSERT_EQ(static_cast<int>(raw[0].size()), report.results[0].passes);
  std::vector<bool> seen(items.size(), false);
  for (const engine::RawPass& pass : raw[0]) {
    EXPECT_LE(static_cast<int>(pass.prompt.ids.size()), engine->info().max_text_tokens);
    for (const text::ItemSpan& span : pass.prompt.spans) {
      seen[static_cast<std::size_t>(span.item)] = true;
    }
  }
  EXPECT_TRUE(std::all_of(seen.begin(), seen.end(), [](bool s) { return s; }));
}

TEST(Engine, ReportsEveryItemFoundOrNot) {
  const auto engine = micro_engine();
  const test::Image image = procedural_image(11, 150, 61);
  const DetectRequest request = request_for(image, kItems);
  const DetectReport report = engine->detect(std::span(&request, 1), fp32());
  std::vector<std::string> named = report.results[0].not_found;
  for (const Detection& found : report.results[0].detections) named.push_back(found.item);
  for (const std::string& item : kItems) {
    EXPECT_NE(std::find(named.begin(), named.end(), item), named.end()) << item;
  }
  EXPECT_EQ(report.precision, Precision::kFp32);
  EXPECT_EQ(report.device, Device::kCpu);
  EXPECT_FALSE(report.device_name.empty());
}

TEST(Engine, NoRequestsGiveNoResults) {
  EXPECT_TRUE(micro_engine()->detect(std::span<const DetectRequest>(), fp32()).results.empty());
}

TEST(Engine, EstimateBoundsTheArena) {
  const auto engine = micro_engine();
  const test::Image image = procedural_image(12, 150, 61);
  const std::vector<DetectRequest> requests{request_for(image, kItems),
                                            request_for(image, {"shoes"})};
  const MemoryEstimate estimate = engine->estimate(requests, fp32());
  EXPECT_GT(estimate.weights_bytes, 0U);
  EXPECT_GT(estimate.workspace_bytes, 0U);
  const DetectReport report = engine->detect(requests, fp32());
  EXPECT_GE(report.peak_workspace_bytes, estimate.workspace_bytes / 2);
}

TEST(Engine, TapSeesEveryStageOfEverySample) {
  const auto engine = micro_engine();
  const test::Image image = procedural_image(13, 80, 80);
  const std::vector<DetectRequest> requests{request_for(image, kItems),
                                            request_for(image, {"shoes"})};
  std::map<std::string, std::set<int>> seen;
  engine->detect_raw(requests, fp32(),
                     model::StageTap([&](std::string_view name, int index, const float* values,
                                         std::int64_t rows, std::int64_t cols) {
                       seen[std::string(name)].insert(index);
                       for (std::int64_t i = 0; i < rows * cols; ++i) {
                         ASSERT_FALSE(std::isnan(values[i])) << name;
                       }
                     }));
  for (const char* stage :
       {"pixels", "swin.embeddings", "swin.stage1", "swin.stage4", "backbone.level0",
        "text.backbone", "text.projected", "vision.level3", "encoder.layer0.fusion.vision",
        "encoder.layer1.fusion.text", "encoder.layer1.text", "encoder.layer1.vision",
        "proposals.logits", "queries.topk", "queries.reference", "decoder.layer1.hidden", "logits",
        "boxes"}) {
    EXPECT_EQ(seen[stage], (std::set<int>{0, 1})) << stage;
  }
}

struct BadCall {
  const char* field;
  void (*spoil)(DetectRequest&, DetectOptions&);
};

class EngineRefuses : public testing::TestWithParam<BadCall> {};

TEST_P(EngineRefuses, NamingTheField) {
  const auto engine = micro_engine();
  const test::Image image = procedural_image(14, 40, 40);
  DetectRequest request = request_for(image, kItems);
  DetectOptions options = fp32();
  GetParam().spoil(request, options);
  test::expect_error(ErrorCode::kInvalidArgument, GetParam().field,
                     [&] { engine->detect(std::span(&request, 1), options); });
}

INSTANTIATE_TEST_SUITE_P(
    Calls, EngineRefuses,
    testing::Values(
        BadCall{"image.pixels", [](DetectRequest& r, DetectOptions&) { r.image.pixels = nullptr; }},
        BadCall{"image.width", [](DetectRequest& r, DetectOptions&) { r.image.width = 0; }},
        BadCall{"image.height", [](DetectRequest& r, DetectOptions&) { r.image.height = -1; }},
        BadCall{"row_stride", [](DetectRequest& r, DetectOptions&) { r.image.row_stride = 119; }},
        BadCall{"threads", [](DetectRequest&, DetectOptions& o) { o.threads = -1; }},
        BadCall{"threads", [](DetectRequest&, DetectOptions& o) { o.threads = 1025; }},
        BadCall{"shortest_edge", [](DetectRequest&, DetectOptions& o) { o.shortest_edge = 8; }},
        BadCall{"longest_edge", [](DetectRequest&, DetectOptions& o) { o.longest_edge = 9000; }},
        BadCall{"items", [](DetectRequest& r, DetectOptions&) { r.items.clear(); }},
        BadCall{"threshold", [](DetectRequest& r, DetectOptions&) { r.scoring.threshold = 1.5F; }},
        BadCall{"threshold",
                [](DetectRequest& r, DetectOptions&) {
                  r.scoring.threshold = std::numeric_limits<float>::quiet_NaN();
                }},
        BadCall{"nms", [](DetectRequest& r, DetectOptions&) { r.scoring.nms_iou = -0.1F; }},
        BadCall{"count", [](DetectRequest& r, DetectOptions&) { r.scoring.count = 0; }}));

TEST(Engine, RefusesImagesThatResizeToNothing) {
  const auto engine = micro_engine();
  const test::Image line = procedural_image(15, 10000, 1);
  const DetectRequest request = request_for(line, kItems);
  test::expect_error(ErrorCode::kInvalidArgument, "10000 x 1",
                     [&] { engine->detect(std::span(&request, 1), fp32()); });
}

TEST(Engine, RefusesDevicesThatAreNotThere) {
  const auto engine = micro_engine();
  const test::Image image = procedural_image(16, 40, 40);
  const DetectRequest request = request_for(image, kItems);
  DetectOptions half = fp32();
  half.precision = Precision::kFp16;
  test::expect_error(ErrorCode::kUnsupportedDevice, "fp16",
                     [&] { engine->detect(std::span(&request, 1), half); });
  if (list_devices().back().usable) return;
  DetectOptions cuda = fp32();
  cuda.device = Device::kCuda;
  test::expect_error(ErrorCode::kUnsupportedDevice, "cuda",
                     [&] { engine->detect(std::span(&request, 1), cuda); });
}

TEST(Engine, AFailedCallLeavesTheModelUsable) {
  const auto engine = micro_engine();
  const test::Image image = procedural_image(17, 80, 80);
  DetectRequest request = request_for(image, kItems);
  const auto before = engine->detect_raw(std::span(&request, 1), fp32(), {});
  EXPECT_THROW(engine->detect_raw(std::span(&request, 1), fp32(),
                                  model::StageTap([](std::string_view name, auto&&...) {
                                    if (name == "swin.stage2") throw std::runtime_error("tap");
                                  })),
               std::runtime_error);
  expect_identical(before[0][0], engine->detect_raw(std::span(&request, 1), fp32(), {})[0][0]);
}

/// Items that fill a pass of 64 tokens each.
std::vector<std::string> long_items(int count) {
  std::vector<std::string> items;
  for (int i = 0; i < count; ++i) items.push_back(std::string(50, '!') + std::to_string(i));
  return items;
}

TEST(Engine, ACallOnTheCpuEndsBetweenItsOpsWhenItIsTold) {
  const auto engine = micro_engine();
  const test::Image image = procedural_image(1, 150, 61);
  const DetectRequest request = request_for(image, long_items(4));
  DetectOptions options = fp32();
  const DetectResult whole = engine->detect(std::span(&request, 1), options).results[0];
  int steps = 0;
  options.keep_going = [&] { return ++steps > 0; };
  const DetectResult asked = engine->detect(std::span(&request, 1), options).results[0];
  EXPECT_EQ(asked.passes, 4);
  EXPECT_GE(steps, 10 * asked.passes) << "a pass has many ops";
  const int all = steps;
  for (int last = 0; last < all; last += std::max(1, all / 30)) {
    steps = 0;
    options.keep_going = [&] { return steps++ < last; };
    test::expect_error(ErrorCode::kCancelled, "cancelled",
                       [&] { engine->detect(std::span(&request, 1), options); });
    EXPECT_EQ(steps, last + 1);
  }
  options.keep_going = {};
  const DetectResult again = engine->detect(std::span(&request, 1), options).results[0];
  ASSERT_EQ(again.detections.size(), whole.detections.size());
  for (std::size_t i = 0; i < whole.detections.size(); ++i) {
    EXPECT_EQ(again.detections[i].score, whole.detections[i].score);
  }
}

TEST(Engine, CountsPassesAndHoldsTheirLimit) {
  const auto engine = micro_engine();
  const test::Image image = procedural_image(1, 150, 61);
  const DetectRequest request = request_for(image, long_items(4));
  DetectOptions options = fp32();
  EXPECT_EQ(engine->count_passes(request.items, options), 4);
  options.max_passes = 4;
  EXPECT_EQ(engine->count_passes(request.items, options), 4);
  options.max_passes = 3;
  const std::string part = "take 4 passes of the model, max_passes is 3";
  test::expect_error(ErrorCode::kInvalidArgument, part,
                     [&] { engine->count_passes(request.items, options); });
  test::expect_error(ErrorCode::kInvalidArgument, part,
                     [&] { engine->detect(std::span(&request, 1), options); });
}

TEST(Model, LoadsByTheNamesOfTheCommandLine) {
  EXPECT_EQ(Model::load("wardrobe")->info().name, "wardrobe");
  EXPECT_EQ(Model::load(ITEMCROP_SOURCE_DIR "/models/wardrobe/")->info().name, "wardrobe");
  const test::TemporaryFolder hub;
  const std::filesystem::path snapshots =
      hub.path() / "models--iSEE-Laboratory--llmdet_tiny/snapshots";
  std::filesystem::create_directories(snapshots);
  std::filesystem::create_directory_symlink(
      std::filesystem::absolute(ITEMCROP_SOURCE_DIR "/models/wardrobe"), snapshots / "0123abcd");
  ASSERT_EQ(::setenv("HF_HUB_CACHE", hub.path().c_str(), 1), 0);
  for (const char* name : {"llmdet-tiny", "iSEE-Laboratory/llmdet_tiny"}) {
    EXPECT_EQ(Model::load(name)->info().name, "iSEE-Laboratory/llmdet_tiny");
  }
  ASSERT_EQ(::unsetenv("HF_HUB_CACHE"), 0);
  test::expect_error(ErrorCode::kNotFound, "did you mean 'wardrobe'?",
                     [] { Model::load("wardobe"); });
  test::expect_error(ErrorCode::kNotFound, "'itemcrop models pull llmdet-tiny' brings it",
                     [] { Model::load("llmdet-tiny"); });
}

}  // namespace
}  // namespace itemcrop
