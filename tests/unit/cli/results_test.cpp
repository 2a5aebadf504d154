#include "cli/results.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "itemcrop/version.h"

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
  hat.crop = crop::CropFile{"crops/a_01_hat.jpg", "", "image/jpeg", nullptr, 3, 2};
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
  RunResult result;
  result.head.placement = {"wardrobe", "cpu", "bf16"};
  result.head.hints = {"a hint"};
  result.head.request.items.emplace_back().prompt = "hat";
  result.head.request.scoring.threshold = 0.25F;
  result.detect.shortest_edge = 320;
  result.images = {photo, failed};
  return result;
}

TEST(ResultsJson, HasExactlyTheDocumentedShape) {
  const nlohmann::json expected = nlohmann::json::parse(R"({
    "model": "wardrobe", "device": "cpu", "precision": "bf16",
    "items": [{"prompt": "hat"}], "categories": [],
    "settings": {"threshold": 0.25, "count": null, "labels": "items", "nms": 0.5,
                 "containment": 0.8, "suppress": true, "shortest_edge": 320, "longest_edge": 0,
                 "alpha": "flatten"},
    "hints": ["a hint"], "complete": false,
    "images": [
      {"id": "a.jpg", "file": "a.jpg", "width": 640, "height": 480,
       "detections": [{"item": "hat", "prompt": "hat", "score": 0.1, "box": [1.0, 2.0, 3.33, 4.0],
                       "scores": {"hat": 0.1, "belt": 0.0}, "description": "hat",
                       "crop": {"file": "crops/a_01_hat.jpg", "content_type": "image/jpeg",
                                "width": 3, "height": 2}}],
       "not_found": ["belt"], "crops": ["crops/a_01_hat.jpg"], "error": null,
       "timing_ms": {"fetch": 0, "decode": 12.35, "queue": 0, "preprocess": 1, "model": 2,
                     "postprocess": 3, "encode": 4, "store": 0}},
      {"id": "b�.jpg", "file": "b�.jpg", "width": null, "height": null, "detections": [],
       "not_found": [], "crops": [],
       "error": {"code": "corrupt_image", "message": "damaged", "field": "images[1]"},
       "timing_ms": {"fetch": 0, "decode": 0, "queue": 0, "preprocess": 0, "model": 0,
                     "postprocess": 0, "encode": 0, "store": 0}}]})");
  nlohmann::json got = nlohmann::json::parse(to_json(sample()));
  EXPECT_EQ(got["version"], ITEMCROP_VERSION);
  EXPECT_EQ(got["date"].get<std::string>().size(), std::string("2026-11-30T12:00:00Z").size());
  got.erase("version");
  got.erase("date");
  nlohmann::json& box = got["images"][0]["detections"][0]["box"];
  EXPECT_NEAR(box[0].get<double>(), 1.005, 0.006);
  box[0] = 1.0;
  EXPECT_EQ(got, expected) << got.dump(2);
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
