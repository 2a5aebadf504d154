#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/procedural_image.h"

namespace itemcrop::test {

/// tests/golden of the source tree.
std::filesystem::path golden_folder();

/// A golden JSON file, keys in the file's order. A missing or damaged one throws, which fails the
/// test.
nlohmann::ordered_json load_golden_json(const std::filesystem::path& relative);

/// The reference's values of one stage of one image.
struct StageGolden {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  double mean = 0;  ///< of the whole matrix
  double rms = 0;   ///< of the whole matrix
  /// Either every element, row-major, or those at sample_indices().
  std::vector<float> values;

  std::int64_t elements() const noexcept { return rows * cols; }
  bool whole() const noexcept { return static_cast<std::int64_t>(values.size()) == elements(); }
};

/// Row-major element indices that a stage's samples were taken at.
/// Source: sample_indices() of tests/reference/cases.py.
std::vector<std::int64_t> sample_indices(std::string_view stage, std::int64_t elements);

/// What the reference's post-processing says about one query.
struct DetectionGolden {
  float score = 0;
  float box[4] = {};  ///< x0, y0, x1, y1 in pixels of the image
  std::string label;
};

/// One image of a case.
struct ImageGolden {
  nlohmann::ordered_json source;  ///< {"seed", "width", "height"} or {"file"}
  std::string prompt;
  std::vector<std::int32_t> ids;
  int resized_width = 0;
  int resized_height = 0;
  std::vector<std::int64_t> topk;  ///< proposal of each query
  std::vector<DetectionGolden> detections;
  std::vector<std::pair<std::string, StageGolden>> stages;  ///< in order of computation

  /// The image of a procedural source.
  Image image() const;
};

/// A parity case: one batch run by the reference. See tests/reference/cases.py.
struct CaseGolden {
  std::string name;  ///< "micro/landscape"
  std::string text_rules;
  int shortest_edge = 0;
  int longest_edge = 0;
  float threshold = 0;
  std::vector<ImageGolden> images;
};

/// Reads NAME.json and NAME.safetensors below tests/golden; throws if anything is missing.
CaseGolden load_case(const std::string& name);

}  // namespace itemcrop::test
