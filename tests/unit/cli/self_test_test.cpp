#include "cli/self_test.h"

#include <cmath>

#include <gtest/gtest.h>

#include "cli/test_image.h"
#include "support/fake_model.h"

namespace itemcrop::cli {
namespace {

using test::FakeModel;

SelfTest run_test(const FakeModel& model) {
  DeviceInfo device;
  device.name = "a device";
  return test_device(model, device, Precision::kFp32, 0, std::nullopt);
}

TEST(SelfTest, PassesWhenAnswersRepeat) {
  const FakeModel model;
  const SelfTest test = run_test(model);
  EXPECT_TRUE(test.passed) << test.problem;
  EXPECT_FALSE(test.compared);
  EXPECT_EQ(model.batches().size(), 2U);
}

TEST(SelfTest, FailsWhenAnswersDiffer) {
  int call = 0;
  const FakeModel model([&](const DetectRequest& request) {
    DetectResult result = FakeModel::find_all(request);
    result.detections[0].score -= 0.01F * static_cast<float>(call++);
    return result;
  });
  EXPECT_EQ(run_test(model).problem, "two runs of the same image differ");
}

TEST(SelfTest, ReportsWhatTheDeviceThrows) {
  const FakeModel model([](const DetectRequest&) -> DetectResult {
    throw Error(ErrorCode::kUnsupportedDevice, "no such GPU");
  });
  const SelfTest test = run_test(model);
  EXPECT_FALSE(test.passed);
  EXPECT_EQ(test.problem, "no such GPU");
}

TEST(FindNonsense, NamesScoresAndBoxesThatCannotBe) {
  Detection good;
  good.item = "hat";
  good.score = 0.5F;
  good.box = {0, 0, 10, 20};
  const auto problem = [&](auto change) {
    Detection detection = good;
    change(detection);
    return find_nonsense({good, detection}, 10, 20);
  };
  EXPECT_EQ(problem([](Detection&) {}), "");
  EXPECT_NE(problem([](Detection& d) { d.score = std::nanf(""); }), "");
  EXPECT_NE(problem([](Detection& d) { d.score = 1.5F; }), "");
  EXPECT_NE(problem([](Detection& d) { d.score = 0; }), "");
  EXPECT_NE(problem([](Detection& d) { d.box.x1 = 10.5F; }), "");
  EXPECT_NE(problem([](Detection& d) { d.box.y0 = -1; }), "");
  EXPECT_NE(problem([](Detection& d) { d.box.x0 = std::nanf(""); }), "");
  EXPECT_NE(problem([](Detection& d) { std::swap(d.box.y0, d.box.y1); }), "");
}

TEST(TestImage, IsTheSameEveryTimeAndNotEmpty) {
  const TestImage a;
  const TestImage b;
  const std::size_t bytes = std::size_t{3} * TestImage::kWidth * TestImage::kHeight;
  EXPECT_TRUE(std::equal(a.view().pixels, a.view().pixels + bytes, b.view().pixels));
  const auto pixel = [&](int x, int y) { return a.view().pixels + y * a.view().stride() + 3 * x; };
  EXPECT_GT(pixel(5, 5)[0], 120) << "floor";
  EXPECT_LT(pixel(240, 200)[0], 60) << "shirt";
}

}  // namespace
}  // namespace itemcrop::cli
