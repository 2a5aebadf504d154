#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "itemcrop/items.h"
#include "itemcrop/model.h"

#include "model_files/model_locator.h"

namespace itemcrop::cli {

/// A detection that a model must give.
struct ExpectedDetection {
  std::string label;  ///< empty: any, where only the score was published
  double score = 0;
  std::optional<Box> box;  ///< pixels; none: only the score was published
};

/// One prompt and all it must find.
struct ExpectedCase {
  std::vector<std::string> items;
  LabelMode labels = LabelMode::kTokens;
  float threshold = 0.25F;
  float text_threshold = 0.25F;
  std::vector<ExpectedDetection> detections;  ///< in any order
};

/// How far an answer may be from the expected one.
struct Tolerance {
  double score = 0;
  double box = 0;       ///< pixels of the photo, each coordinate
  bool extras = false;  ///< more detections than expected do not matter
};

/// Known answers of one model for one photo.
struct ExpectedValues {
  std::string source;           ///< where the values come from, for people
  std::filesystem::path photo;  ///< the photo, if it is shipped; empty: the user has it
  std::string photo_name;       ///< how people know it
  int width = 0;                ///< of the photo, in pixels
  int height = 0;
  Tolerance exact;  ///< in fp32
  Tolerance half;   ///< in bf16 and fp16
  std::vector<ExpectedCase> cases;
};

/// Values stored as expected.json in the model's folder, else the published ones if the model's
/// name is that of a known checkpoint (model_files/known_models.h), else none. Throws
/// Error(kCorruptModel) if expected.json is not what it should be.
std::optional<ExpectedValues> find_expected_values(const model_files::LocatedModel& model);

/// One compared detection.
struct ComparedDetection {
  ExpectedDetection expected;
  std::optional<Detection> actual;  ///< none: not detected
  double score_error = 0;
  double box_error = 0;  ///< largest of the four corners' coordinates, pixels
  bool passed = false;
};

struct ComparedCase {
  ExpectedCase expected;
  std::vector<ComparedDetection> detections;
  std::vector<Detection> unexpected;  ///< detected, but not among the expected
  bool unexpected_allowed = false;
  bool passed() const;
};

/// Runs every case on the image and compares. Each expected detection is matched with the nearest
/// one of its label that is still free.
std::vector<ComparedCase> compare_with_expected(const Model& model, const ExpectedValues& expected,
                                                const ImageView& image,
                                                const DetectOptions& options);

}  // namespace itemcrop::cli
