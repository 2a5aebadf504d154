#include "cli/expected_values.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <limits>
#include <span>
#include <string_view>

#include <nlohmann/json.hpp>

#include "itemcrop/error.h"

#include "model_files/known_models.h"

namespace itemcrop::cli {
namespace {

namespace fs = std::filesystem;

/// The photo that all published values belong to. They have three or four decimals, and JPEG
/// decoders differ by a level or two.
ExpectedValues published(const std::string& source) {
  ExpectedValues values;
  values.source = source;
  values.photo_name = "COCO val2017 000000039769";
  values.width = 640;
  values.height = 480;
  values.exact = {2e-3, 0.5, false};
  values.half = {0.02, 2, false};
  return values;
}

/// Source: test_modeling_grounding_dino.py of transformers, the integration tests.
ExpectedValues published_grounding_dino_tiny() {
  ExpectedValues values = published("published with transformers' tests of grounding-dino-tiny");
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

/// What convert_mm_grounding_dino_to_hf.py of transformers checks a checkpoint with: scores of
/// "cat. remote.", to 1e-3.
struct ConvertedScores {
  std::string_view repository;
  std::vector<double> scores;
};

std::span<const ConvertedScores> converted_scores() {
  static const std::vector<ConvertedScores> table = {
      {"openmmlab-community/mm_grounding_dino_tiny_o365v1_goldg", {.7722, .7584, .7984, .7163}},
      {"openmmlab-community/mm_grounding_dino_tiny_o365v1_goldg_grit",
       {.7865, .7180, .7665, .8177}},
      {"openmmlab-community/mm_grounding_dino_tiny_o365v1_goldg_v3det",
       {.5690, .5553, .6075, .5775}},
      {"openmmlab-community/mm_grounding_dino_tiny_o365v1_goldg_grit_v3det",
       {.8381, .8204, .7970, .7175}},
      {"openmmlab-community/mm_grounding_dino_base_o365v1_goldg_v3det",
       {.8418, .8364, .8342, .7885}},
      {"openmmlab-community/mm_grounding_dino_base_all", {.4713}},
      {"openmmlab-community/mm_grounding_dino_large_o365v2_oiv6_goldg",
       {.7824, .8275, .7715, .8211}},
      {"openmmlab-community/mm_grounding_dino_large_all", {.7373, .6208, .6913, .4523}},
      {"iSEE-Laboratory/llmdet_tiny", {.7262, .7552, .7656, .8207}},
      {"iSEE-Laboratory/llmdet_base", {.8646, .7567, .6978, .8084}},
      {"iSEE-Laboratory/llmdet_large", {.7107, .8626, .7458, .8166}},
  };
  return table;
}

/// Boxes of the same run were published for llmdet_tiny: corners as shares of the photo.
constexpr std::array<std::array<float, 4>, 4> kLlmdetTinyBoxes = {{
    {.0114F, .1132F, .4947F, .9854F},
    {.5387F, .0513F, .9992F, .7765F},
    {.5212F, .1605F, .5788F, .3890F},
    {.0634F, .1536F, .2743F, .2440F},
}};

ExpectedCase converted_case(const ConvertedScores& published, int width, int height) {
  ExpectedCase expected{{"cat", "remote"}, LabelMode::kTokens, 0.4F, 0.3F, {}};
  for (const double score : published.scores) expected.detections.push_back({"", score, {}});
  if (model_files::is_same_model(published.repository, "iSEE-Laboratory/llmdet_tiny")) {
    const auto across = static_cast<float>(width);
    const auto down = static_cast<float>(height);
    for (std::size_t i = 0; i < kLlmdetTinyBoxes.size(); ++i) {
      const auto& [x0, y0, x1, y1] = kLlmdetTinyBoxes[i];
      expected.detections[i].box = Box{x0 * across, y0 * down, x1 * across, y1 * down};
    }
  }
  return expected;
}

/// Source: test_modeling_mm_grounding_dino.py of transformers, the integration test.
ExpectedCase mm_tiny_v3det_case() {
  return {{"a cat"},
          LabelMode::kTokens,
          0.35F,
          0.3F,
          {{"a cat", 0.4480, Box{343.7321F, 23.8182F, 637.5044F, 373.8593F}},
           {"a cat", 0.3973, std::nullopt}}};
}

std::optional<ExpectedValues> published_values(const model_files::KnownModel& known) {
  if (known.name == "grounding-dino-tiny") return published_grounding_dino_tiny();
  for (const ConvertedScores& scores : converted_scores()) {
    if (scores.repository != known.repository) continue;
    ExpectedValues values =
        published("published with transformers' conversion of " + std::string(known.repository));
    values.cases = {converted_case(scores, values.width, values.height)};
    if (known.name == "mm-grounding-dino-tiny-o365v1-goldg-v3det") {
      values.cases.push_back(mm_tiny_v3det_case());
    }
    return values;
  }
  return std::nullopt;
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
    if (!expected.label.empty() && candidate->item != expected.label) continue;
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
                          const ExpectedValues& values, const ImageView& image,
                          const DetectOptions& options) {
  DetectRequest request;
  request.image = image;
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

std::optional<ExpectedValues> find_expected_values(const model_files::LocatedModel& model) {
  const fs::path file = model.folder / "expected.json";
  if (std::ifstream stream(file); stream) return parse_expected(file, stream);
  const model_files::KnownModel* known = model_files::find_known_model(model.name);
  return known == nullptr ? std::nullopt : published_values(*known);
}

bool ComparedCase::passed() const {
  return (unexpected.empty() || unexpected_allowed) &&
         std::all_of(detections.begin(), detections.end(),
                     [](const ComparedDetection& detection) { return detection.passed; });
}

std::vector<ComparedCase> compare_with_expected(const Model& model, const ExpectedValues& expected,
                                                const ImageView& image,
                                                const DetectOptions& options) {
  std::vector<ComparedCase> compared;
  for (const ExpectedCase& c : expected.cases) {
    compared.push_back(compare_case(model, c, expected, image, options));
  }
  return compared;
}

}  // namespace itemcrop::cli
