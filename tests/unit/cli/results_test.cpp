#include "cli/results.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace itemcrop::cli {
namespace {

RunResult sample() {
  crop::ImageResult photo;
  photo.id = "a.jpg";
  photo.width = 640;
  photo.height = 480;
  crop::FoundItem hat;
  hat.prompt = "hat";
  hat.description = "hat";
  hat.detection.item = "hat";
  hat.detection.score = 0.1F;
  hat.detection.box = {1.005F, 2, 3.3333F, 4};
  hat.detection.scores = {{"hat", 0.1F}, {"belt", 0}};
  hat.crop.emplace().name = "crops/a_01_hat.jpg";
  photo.items = {hat};
  photo.not_found = {"belt"};
  photo.timing.decode = 12.3456;
  photo.timing.preprocess = 1;
  photo.timing.model = 2;
  photo.timing.postprocess = 3;
  photo.timing.encode = 4;
  crop::ImageResult failed;
  failed.id = "b\xff.jpg";
  failed.error = Error(ErrorCode::kCorruptImage, "damaged", "images[1]");
  return {{"wardrobe", "cpu", "bf16"}, {photo, failed}, {"a hint"}};
}

TEST(ResultsJson, HasExactlyTheDocumentedShape) {
  const nlohmann::json expected = nlohmann::json::parse(R"({
    "model": "wardrobe", "device": "cpu", "precision": "bf16",
    "images": [
      {"file": "a.jpg", "width": 640, "height": 480,
       "detections": [{"item": "hat", "score": 0.1, "box": [1.0, 2.0, 3.33, 4.0],
                       "scores": {"hat": 0.1, "belt": 0.0}}],
       "not_found": ["belt"], "crops": ["crops/a_01_hat.jpg"], "error": null,
       "timing_ms": {"decode": 12.35, "preprocess": 1, "model": 2, "postprocess": 3, "encode": 4}},
      {"file": "b�.jpg", "width": null, "height": null, "detections": [], "not_found": [],
       "crops": [], "error": {"code": "corrupt_image", "message": "damaged"},
       "timing_ms": {"decode": 0, "preprocess": 0, "model": 0, "postprocess": 0, "encode": 0}}],
    "hints": ["a hint"]})");
  nlohmann::json got = nlohmann::json::parse(to_json(sample()));
  nlohmann::json& box = got["images"][0]["detections"][0]["box"];
  EXPECT_NEAR(box[0].get<double>(), 1.005, 0.006);
  box[0] = 1.0;
  EXPECT_EQ(got, expected) << got.dump(2);
}

TEST(Findings, CountWordsOfPhotosThatWereProcessed) {
  const taxonomy::Findings findings = findings_of(sample());
  EXPECT_EQ(findings.asked, 2U);
  EXPECT_EQ(findings.found, 1U);
}

TEST(ResultsJson, KeysAndItemsKeepTheirOrder) {
  const std::string text = to_json(sample());
  EXPECT_LT(text.find("\"model\""), text.find("\"device\""));
  EXPECT_LT(text.find("\"hat\": 0.1"), text.find("\"belt\": 0.0"));
  EXPECT_EQ(text.back(), '\n');
}

TEST(ResultsJson, ScoresAreNotPaddedWithTheRestOfADouble) {
  EXPECT_NE(to_json(sample()).find("\"score\": 0.1,"), std::string::npos);
}

}  // namespace
}  // namespace itemcrop::cli
