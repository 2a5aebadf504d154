#include "crop/json.h"

#include <memory>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "itemcrop/version.h"

namespace itemcrop::crop {
namespace {

using Json = nlohmann::ordered_json;

/// An item of a category and one of the caller's own, with crops.
ImageResult sample() {
  ImageResult image;
  image.id = "look";
  image.width = 640;
  image.height = 480;
  FoundItem shirt;
  shirt.detection.item = "tops";
  shirt.detection.score = 0.5F;
  shirt.detection.box = {1, 2, 3, 4};
  shirt.detection.scores = {{"shirt", 0.5F}};
  shirt.category = "tops";
  shirt.prompt = "shirt";
  shirt.description = "blue shirt";
  shirt.crop = CropFile{"a.jpg", "https://a.example/a.jpg", "image/jpeg", nullptr, 2, 3};
  FoundItem hat;
  hat.detection.item = hat.prompt = hat.description = "hat";
  hat.crop =
      CropFile{"b.png",     "",
               "image/png", std::make_shared<const Bytes>(Bytes{std::byte{'f'}, std::byte{'o'}}),
               4,           5};
  image.items = {shirt, hat};
  image.not_found = {"belt"};
  image.timing = {1, 2, 3, 4, 5, 6, 7, 8};
  image.error = Error(ErrorCode::kInvalidArgument, "count must be 1", "count");
  return image;
}

TEST(ImageJson, IsExactlyThis) {
  EXPECT_EQ(image_json(sample()), Json::parse(R"({
    "id": "look", "width": 640, "height": 480,
    "detections": [
      {"item": "tops", "prompt": "shirt", "score": 0.5, "box": [1.0, 2.0, 3.0, 4.0],
       "scores": {"shirt": 0.5}, "category": "tops", "description": "blue shirt",
       "crop": {"url": "https://a.example/a.jpg", "content_type": "image/jpeg",
                "width": 2, "height": 3}},
      {"item": "hat", "prompt": "hat", "score": 0.0, "box": [0.0, 0.0, 0.0, 0.0], "scores": {},
       "description": "hat",
       "crop": {"base64": "Zm8=", "content_type": "image/png", "width": 4, "height": 5}}],
    "not_found": ["belt"],
    "error": {"code": "invalid_argument", "message": "count must be 1", "field": "count"},
    "timing_ms": {"fetch": 1.0, "decode": 2.0, "queue": 3.0, "preprocess": 4.0, "model": 5.0,
                  "postprocess": 6.0, "encode": 7.0, "store": 8.0}})"));
}

TEST(ResultsJson, SaysWhatRanAndWhatWasAsked) {
  ResultsHead head;
  head.placement = {"wardrobe", "cpu", "bf16"};
  head.request.items.emplace_back().prompt = "hat";
  head.request.items.emplace_back().prompt = "curtain";
  head.request.items[0].threshold = 0.3F;
  head.request.items[0].count = 2;
  head.request.items[1].distractor = true;
  head.request.categories = {"tops"};
  head.crops = true;
  head.hints = {"a hint"};
  Json json = results_json(head, std::vector<ImageResult>(1));
  EXPECT_EQ(json["version"], ITEMCROP_VERSION);
  EXPECT_EQ(json["images"].size(), 1U);
  for (const char* key : {"version", "date", "images"}) json.erase(key);
  EXPECT_EQ(json, Json::parse(R"({
    "model": "wardrobe", "device": "cpu", "precision": "bf16",
    "items": [{"prompt": "hat", "threshold": 0.3, "count": 2},
              {"prompt": "curtain", "distractor": true}],
    "categories": ["tops"],
    "settings": {"threshold": null, "count": null, "labels": "items", "nms": 0.5,
                 "containment": 0.8, "suppress": true, "margin": 0.05, "square": false,
                 "min_size": 0, "format": "jpeg", "quality": 95},
    "hints": ["a hint"]})"));
  head.request.scoring.labels = LabelMode::kTokens;
  head.request.scoring.text_threshold = 0.2F;
  EXPECT_EQ(results_json(head, {})["settings"]["text_threshold"], 0.2);
}

TEST(Rfc3339, IsInUtc) {
  EXPECT_EQ(rfc3339(std::chrono::system_clock::from_time_t(1'796'051'045)), "2026-11-30T15:04:05Z");
}

TEST(ImageJson, ACropWithoutUrlAndBytesIsAFile) {
  ImageResult image = sample();
  image.items[1].crop->bytes.reset();
  const Json json = image_json(image);
  EXPECT_EQ(json["detections"][1]["crop"]["file"], "b.png");
}

TEST(ImageJson, NothingKnownIsNull) {
  const Json json = image_json({});
  EXPECT_TRUE(json["width"].is_null());
  EXPECT_TRUE(json["error"].is_null());
}

TEST(PlacementOf, IsThatOfTheFirstImageThatRan) {
  std::vector<ImageResult> images(2);
  images[0].placement.model = "asked";
  EXPECT_EQ(placement_of(images).model, "asked");
  images[1].placement = {"ran", "cpu", "bf16"};
  EXPECT_EQ(placement_of(images).model, "ran");
}

}  // namespace
}  // namespace itemcrop::crop
