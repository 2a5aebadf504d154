#include "cli/expected_values.h"

#include <gtest/gtest.h>

#include "model_files/known_models.h"
#include "support/expect_error.h"
#include "support/fake_model.h"
#include "support/temporary_folder.h"

namespace itemcrop::cli {
namespace {

using test::expect_error;
using test::FakeModel;

constexpr const char* kExpectedJson = R"({
  "source": "a test", "photo": "../samples/a.jpg", "width": 100, "height": 80,
  "tolerance_fp32": {"score": 0.01, "box": 0.5, "extras": false},
  "tolerance_half": {"score": 0.02, "box": 2, "extras": true},
  "cases": [{"items": ["hat", "belt"], "labels": "items", "threshold": 0.3, "text_threshold": 0.2,
    "detections": [{"label": "hat", "score": 0.9, "box": [0, 20, 10, 60]},
                   {"label": "belt", "score": 0.8, "box": [10, 20, 20, 60]}]}]})";

class ExpectedValuesOfAFolder : public ::testing::Test {
 protected:
  ExpectedValues load(const std::string& json) const {
    folder_.write("expected.json", json);
    return find_expected_values({"m", folder_.path(), "a test"}).value();
  }
  /// Compares with the fake model's answer for an image of 100 x 80.
  static ComparedCase compare(const ExpectedValues& expected,
                              FakeModel::Answer answer = FakeModel::find_all,
                              Precision precision = Precision::kFp32) {
    const std::vector<std::uint8_t> pixels(3 * 100 * 80);
    const FakeModel model(std::move(answer));
    DetectOptions options;
    options.precision = precision;
    return compare_with_expected(model, expected, {pixels.data(), 100, 80, 0}, options).at(0);
  }

  test::TemporaryFolder folder_;
};

TEST_F(ExpectedValuesOfAFolder, AreReadFromItsFile) {
  const ExpectedValues expected = load(kExpectedJson);
  EXPECT_EQ(expected.photo, folder_.path().parent_path() / "samples/a.jpg");
  EXPECT_EQ(expected.width, 100);
  ASSERT_EQ(expected.cases.size(), 1U);
  EXPECT_EQ(expected.cases[0].labels, LabelMode::kItems);
  EXPECT_EQ(expected.cases[0].detections.size(), 2U);
}

TEST_F(ExpectedValuesOfAFolder, AFileThatIsWrongIsACorruptModel) {
  expect_error(ErrorCode::kCorruptModel, "expected.json", [&] { load("{}"); });
  expect_error(ErrorCode::kCorruptModel, "expected.json", [&] { load("not JSON"); });
}

TEST_F(ExpectedValuesOfAFolder, PassWhenTheModelGivesThem) {
  const ComparedCase compared = compare(load(kExpectedJson));
  EXPECT_TRUE(compared.passed());
  ASSERT_EQ(compared.detections.size(), 2U);
  EXPECT_LT(compared.detections[0].score_error, 1e-6);
}

TEST_F(ExpectedValuesOfAFolder, FailOnScoreBoxLabelMissingAndExtra) {
  const ExpectedValues expected = load(kExpectedJson);
  const auto passes_with = [&](const std::function<void(std::vector<Detection>&)>& change,
                               Precision precision = Precision::kFp32) {
    const auto answer = [&](const DetectRequest& request) {
      DetectResult result = FakeModel::find_all(request);
      change(result.detections);
      return result;
    };
    return compare(expected, answer, precision).passed();
  };
  EXPECT_TRUE(passes_with([](auto& d) { d[0].score += 0.009F; }));
  EXPECT_FALSE(passes_with([](auto& d) { d[0].score += 0.015F; }));
  EXPECT_TRUE(passes_with([](auto& d) { d[0].score += 0.015F; }, Precision::kBf16));
  EXPECT_FALSE(passes_with([](auto& d) { d[0].score += 0.03F; }, Precision::kBf16));
  EXPECT_FALSE(passes_with([](auto& d) { d[1].box.y1 += 1; }));
  EXPECT_TRUE(passes_with([](auto& d) { d[1].box.y1 += 1; }, Precision::kBf16));
  EXPECT_FALSE(passes_with([](auto& d) { d[1].box.y1 += 3; }, Precision::kBf16));
  EXPECT_FALSE(passes_with([](auto& d) { d[0].item = "cap"; }));
  EXPECT_FALSE(passes_with([](auto& d) { d.pop_back(); }));
  EXPECT_FALSE(passes_with([](auto& d) { d.push_back(d.back()); }));
  EXPECT_TRUE(passes_with([](auto& d) { d.push_back(d.back()); }, Precision::kBf16));
  EXPECT_FALSE(passes_with([](auto& d) { d.pop_back(); }, Precision::kBf16));
}

TEST_F(ExpectedValuesOfAFolder, MatchEqualLabelsByPlace) {
  ExpectedValues expected = load(kExpectedJson);
  expected.cases[0].detections = {{"hat", 0.7, Box{50, 20, 60, 60}}, {"hat", 0.9, std::nullopt}};
  const auto two_hats = [](const DetectRequest& request) {
    DetectResult result = FakeModel::find_all(request);
    result.detections[1].item = "hat";
    result.detections[1].score = 0.7F;
    result.detections[1].box = {50, 20, 60, 60};
    return result;
  };
  EXPECT_TRUE(compare(expected, two_hats).passed());
}

TEST(ExpectedValues, OfPublishedCheckpointsGoByName) {
  test::TemporaryFolder folder;
  const auto published = [&](const std::string& name) {
    return find_expected_values({name, folder.path(), ""});
  };
  ASSERT_TRUE(published("IDEA-Research/grounding-dino-tiny"));
  ASSERT_TRUE(published("grounding-dino-tiny"));
  EXPECT_FALSE(published("grounding-dino-base"));
  EXPECT_FALSE(published("my-grounding-dino-tiny"));
  const ExpectedValues tiny = published("grounding-dino-tiny").value();
  EXPECT_EQ(tiny.width, 640);
  EXPECT_EQ(tiny.height, 480);
  EXPECT_TRUE(tiny.photo.empty());
  EXPECT_EQ(tiny.cases.size(), 2U);
}

TEST(ExpectedValues, AreKnownOfEveryCheckpointWithPublishedOnes) {
  test::TemporaryFolder folder;
  for (const model_files::KnownModel& known : model_files::known_models()) {
    SCOPED_TRACE(known.name);
    const auto values = find_expected_values({std::string(known.repository), folder.path(), ""});
    ASSERT_EQ(values.has_value(), known.name != "grounding-dino-base");
    if (!values) continue;
    EXPECT_EQ(values->photo_name, "COCO val2017 000000039769");
    for (const ExpectedCase& c : values->cases) {
      EXPECT_FALSE(c.detections.empty());
      for (const ExpectedDetection& d : c.detections) EXPECT_GT(d.score, c.threshold);
    }
  }
  const auto llmdet = find_expected_values({"somebody/llmdet-tiny", folder.path(), ""});
  ASSERT_TRUE(llmdet);
  const ExpectedDetection& first = llmdet->cases.at(0).detections.at(0);
  EXPECT_NEAR(first.box.value().x0, 7.3, 0.1) << "a share of 640 pixels";
  EXPECT_NEAR(first.box.value().y1, 473.0, 0.1) << "a share of 480 pixels";
}

TEST_F(ExpectedValuesOfAFolder, AnEmptyLabelMatchesAnyItem) {
  ExpectedValues expected = load(kExpectedJson);
  for (ExpectedDetection& d : expected.cases[0].detections) d.label.clear();
  EXPECT_TRUE(compare(expected).passed());
}

}  // namespace
}  // namespace itemcrop::cli
