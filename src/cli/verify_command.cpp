#include <algorithm>
#include <memory>
#include <optional>
#include <ostream>
#include <system_error>

#include <nlohmann/json.hpp>

#include "itemcrop/error.h"

#include "cli/commands.h"
#include "cli/expected_values.h"
#include "cli/table.h"
#include "cli/tensor_check.h"
#include "cli/words.h"
#include "core/words.h"
#include "image/decode.h"
#include "model_files/model_locator.h"

namespace itemcrop::cli {
namespace {

/// What `verify` found out; `cases` is empty when there was nothing to compare with.
struct Verdict {
  model_files::LocatedModel model;
  TensorCheck tensors;
  std::optional<ExpectedValues> expected;
  std::string skipped;  ///< why no values were compared; empty: they were
  std::vector<ComparedCase> cases;

  bool passed() const {
    return tensors.not_finite.empty() &&
           std::all_of(cases.begin(), cases.end(),
                       [](const ComparedCase& c) { return c.passed(); });
  }
};

std::string corners(const Box& box) {
  return fixed(box.x0, 2) + " " + fixed(box.y0, 2) + " " + fixed(box.x1, 2) + " " +
         fixed(box.y1, 2);
}

std::string describe(const ComparedDetection& compared) {
  const ExpectedDetection& expected = compared.expected;
  const std::string label = expected.label.empty() ? "any item" : expected.label;
  std::string line = std::string(compared.passed ? "  pass  " : "  FAIL  ") + label +
                     ": expected " + fixed(expected.score, 4);
  if (expected.box) line += " at " + corners(*expected.box);
  if (!compared.actual) return line + ", not detected";
  line += ", got " + fixed(compared.actual->score, 4);
  if (expected.box) line += " at " + corners(compared.actual->box);
  return line;
}

std::string as_text(const Verdict& verdict) {
  std::string text = "ok    " + verdict.model.name + " (" + verdict.model.origin +
                     "): config, tensors and vocabulary agree\n";
  if (verdict.tensors.not_finite.empty()) {
    text += "ok    all " + with_thousands(verdict.tensors.values) + " values of " +
            with_thousands(verdict.tensors.tensors) + " tensors are finite\n";
  } else {
    text += "FAIL  NaN or infinity in: " + join(verdict.tensors.not_finite) + "\n";
  }
  if (!verdict.skipped.empty()) return text + "-     " + verdict.skipped + "\n";
  for (const ComparedCase& c : verdict.cases) {
    text += std::string(c.passed() ? "ok    " : "FAIL  ") + "\"" + join(c.expected.items) +
            "\" above " + fixed(c.expected.threshold, 2) + " (" + verdict.expected->source + ")\n";
    for (const ComparedDetection& detection : c.detections) text += describe(detection) + "\n";
    for (const Detection& extra : c.unexpected) {
      text += std::string(c.unexpected_allowed ? "  -     " : "  FAIL  ") + extra.item +
              ": not expected, got " + fixed(extra.score, 4) + " at " + corners(extra.box) + "\n";
    }
  }
  return text;
}

nlohmann::ordered_json box_json(const Box& box) { return {box.x0, box.y0, box.x1, box.y1}; }

std::string as_json(const Verdict& verdict) {
  using Json = nlohmann::ordered_json;
  Json cases = Json::array();
  for (const ComparedCase& c : verdict.cases) {
    Json detections = Json::array();
    for (const ComparedDetection& d : c.detections) {
      detections.push_back(
          {{"label", d.expected.label},
           {"passed", d.passed},
           {"expected_score", d.expected.score},
           {"actual_score", d.actual ? Json(d.actual->score) : Json(nullptr)},
           {"expected_box", d.expected.box ? box_json(*d.expected.box) : Json(nullptr)},
           {"actual_box", d.actual ? box_json(d.actual->box) : Json(nullptr)}});
    }
    cases.push_back({{"items", c.expected.items},
                     {"threshold", c.expected.threshold},
                     {"passed", c.passed()},
                     {"unexpected", c.unexpected.size()},
                     {"detections", std::move(detections)}});
  }
  const Json json = {
      {"model", verdict.model.name},
      {"passed", verdict.passed()},
      {"tensors", verdict.tensors.tensors},
      {"values", verdict.tensors.values},
      {"not_finite", verdict.tensors.not_finite},
      {"expected_from", verdict.expected ? Json(verdict.expected->source) : Json(nullptr)},
      {"skipped", verdict.skipped.empty() ? Json(nullptr) : Json(verdict.skipped)},
      {"cases", std::move(cases)}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

void compare(const Model& model, const VerifyArguments& arguments, Verdict& verdict) {
  if (!verdict.expected) {
    verdict.skipped = "no expected values are known for this model";
    return;
  }
  const ExpectedValues& expected = *verdict.expected;
  const std::filesystem::path photo =
      arguments.photo.empty() ? expected.photo : std::filesystem::path(arguments.photo);
  if (photo.empty()) {
    verdict.skipped =
        "to compare detections as well, give the photo " + expected.photo_name + " after the model";
    return;
  }
  std::error_code ignored;
  if (!std::filesystem::exists(photo, ignored)) {
    if (!arguments.photo.empty()) {
      throw Error(ErrorCode::kInvalidArgument, "no photo '" + photo.string() + "'");
    }
    verdict.skipped = "the photo of the expected values is not here: " + photo.string();
    return;
  }
  const image::Image image = image::decode_file(photo);
  if (image.width() != expected.width || image.height() != expected.height) {
    throw Error(ErrorCode::kInvalidArgument,
                "'" + photo.string() + "' is " + std::to_string(image.width()) + " x " +
                    std::to_string(image.height()) + " pixels, but the expected values are of " +
                    expected.photo_name + " with " + std::to_string(expected.width) + " x " +
                    std::to_string(expected.height));
  }
  verdict.cases = compare_with_expected(model, expected, image.view(), arguments.detect);
}

}  // namespace

ExitCode run_verify(const VerifyArguments& arguments, const Environment& environment) {
  Verdict verdict;
  verdict.model = model_files::locate_model(
      arguments.model,
      model_files::default_model_search(environment.executable, environment.variable));
  const std::shared_ptr<const Model> model = environment.load_model(verdict.model.folder);
  verdict.tensors = check_tensors(verdict.model.folder);
  verdict.expected = find_expected_values(verdict.model);
  compare(*model, arguments, verdict);
  environment.out << (arguments.json ? as_json(verdict) : as_text(verdict)) << std::flush;
  return verdict.passed() ? kOk : kModelProblem;
}

}  // namespace itemcrop::cli
