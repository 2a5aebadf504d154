#include "cli/expected_values.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>

#include <nlohmann/json.hpp>

#include "itemcrop/error.h"

#include "core/ascii.h"

namespace itemcrop::cli {
namespace {

namespace fs = std::filesystem;

/// Source: test_modeling_grounding_dino.py of transformers, the integration tests.
ExpectedValues published_tiny() {
  ExpectedValues values;
  values.source = "published with transformers' tests of grounding-dino-tiny";
  values.photo_name = "COCO val2017 000000039769";
  values.width = 640;
  values.height = 480;
  // Published with three or four decimals; JPEG decoders differ by a level or two.
  values.exact = {2e-3, 0.5, false};
  values.half = {0.02, 2, false};
  values.cases = {
      {{"a cat"},
       LabelMode::kTokens,
       0.35F,
       0.25F,
       {{"a cat", 0.4526, Box{344.8143F, 23.1796F, 637.4004F, 373.8295F}},
        {"a cat", 0.4082, std::nullopt}}},
      {{"a cat", "a remote control"},
       LabelMode::kTokens,
       0.4F,
       0.3F,
       {{"a cat", 0.479, Box{344.7F, 23.11F, 637.18F, 374.28F}},
        {"a cat", 0.438, Box{12.27F, 51.91F, 316.86F, 472.44F}},
        {"a remote control", 0.478, Box{38.57F, 70.0F, 176.78F, 118.18F}}}},
  };
  return values;
}

Tolerance parse_tolerance(const nlohmann::json& json) {
  return {json.at("score").get<double>(), json.at("box").get<double>(),
          json.at("extras").get<bool>()};
}

ExpectedDetection parse_detection(const nlohmann::json& json) {
  ExpectedDetection detection;
  detection.label = json.at("label").get<std::string>();
  detection.score = json.at("score").get<double>();
  const auto box = json.at("box").get<std::array<float, 4>>();
  detection.box = Box{box[0], box[1], box[2], box[3]};
  return detection;
}

ExpectedCase parse_case(const nlohmann::json& json) {
  ExpectedCase parsed;
  parsed.items = json.at("items").get<std::vector<std::string>>();
  parsed.labels =
      json.at("labels").get<std::string>() == "tokens" ? LabelMode::kTokens : LabelMode::kItems;
  parsed.threshold = json.at("threshold").get<float>();
  parsed.text_threshold = json.at("text_threshold").get<float>();
  for (const nlohmann::json& detection : json.at("detections")) {
    parsed.detections.push_back(parse_detection(detection));
  }
  return parsed;
}

ExpectedValues parse_expected(const fs::path& file, std::istream& stream) {
  try {
    const nlohmann::json json = nlohmann::json::parse(stream);
    ExpectedValues values;
    values.source = json.at("source").get<std::string>();
    values.photo_name = json.at("photo").get<std::string>();
    values.photo = (file.parent_path() / values.photo_name).lexically_normal();
    values.width = json.at("width").get<int>();
    values.height = json.at("height").get<int>();
    values.exact = parse_tolerance(json.at("tolerance_fp32"));
    values.half = parse_tolerance(json.at("tolerance_half"));
    for (const nlohmann::json& c : json.at("cases")) values.cases.push_back(parse_case(c));
    return values;
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorCode::kCorruptModel, "'" + file.string() + "': " + error.what());
  }
}

double largest_corner_error(const Box& a, const Box& b) {
  return std::max(
      {std::abs(a.x0 - b.x0), std::abs(a.y0 - b.y0), std::abs(a.x1 - b.x1), std::abs(a.y1 - b.y1)});
}

/// How far a detection is from an expected one, to match the two.
double distance(const ExpectedDetection& expected, const Detection& actual) {
  return expected.box ? largest_corner_error(*expected.box, actual.box)
                      : std::abs(expected.score - actual.score);
}

ComparedDetection match(const ExpectedDetection& expected, std::vector<Detection>& free,
                        const Tolerance& tolerance) {
  ComparedDetection compared;
  compared.expected = expected;
  auto best = free.end();
  for (auto candidate = free.begin(); candidate != free.end(); ++candidate) {
    if (candidate->item != expected.label) continue;
    if (best == free.end() || distance(expected, *candidate) < distance(expected, *best)) {
      best = candidate;
    }
  }
  if (best == free.end()) return compared;
  compared.score_error = std::abs(expected.score - best->score);
  if (expected.box) compared.box_error = largest_corner_error(*expected.box, best->box);
  compared.passed = compared.score_error <= tolerance.score && compared.box_error <= tolerance.box;
  compared.actual = *best;
  free.erase(best);
  return compared;
}

ComparedCase compare_case(const Model& model, const ExpectedCase& expected,
                          const ExpectedValues& values, const ImageView& picture,
                          const DetectOptions& options) {
  DetectRequest request;
  request.image = picture;
  for (const std::string& prompt : expected.items) {
    request.items.emplace_back();
    request.items.back().prompt = prompt;
  }
  request.scoring.labels = expected.labels;
  request.scoring.threshold = expected.threshold;
  request.scoring.text_threshold = expected.text_threshold;
  DetectReport report = model.detect(std::span(&request, 1), options);

  const Tolerance& tolerance = report.precision == Precision::kFp32 ? values.exact : values.half;
  ComparedCase compared;
  compared.expected = expected;
  compared.unexpected = std::move(report.results.front().detections);
  compared.unexpected_allowed = tolerance.extras;
  // Those with a box first: they are matched by place, and leave the rest to those without.
  std::vector<ExpectedDetection> ordered = expected.detections;
  std::stable_partition(ordered.begin(), ordered.end(),
                        [](const ExpectedDetection& d) { return d.box.has_value(); });
  for (const ExpectedDetection& detection : ordered) {
    compared.detections.push_back(match(detection, compared.unexpected, tolerance));
  }
  return compared;
}

}  // namespace

std::optional<ExpectedValues> find_expected_values(const LocatedModel& model) {
  const fs::path file = model.folder / "expected.json";
  if (std::ifstream stream(file); stream) return parse_expected(file, stream);
  const std::string name = lower(model.name);
  if (name == "grounding-dino-tiny" || name.ends_with("/grounding-dino-tiny")) {
    return published_tiny();
  }
  return std::nullopt;
}

bool ComparedCase::passed() const {
  return (unexpected.empty() || unexpected_allowed) &&
         std::all_of(detections.begin(), detections.end(),
                     [](const ComparedDetection& detection) { return detection.passed; });
}

std::vector<ComparedCase> compare_with_expected(const Model& model, const ExpectedValues& expected,
                                                const ImageView& picture,
                                                const DetectOptions& options) {
  std::vector<ComparedCase> compared;
  for (const ExpectedCase& c : expected.cases) {
    compared.push_back(compare_case(model, c, expected, picture, options));
  }
  return compared;
}

}  // namespace itemcrop::cli
