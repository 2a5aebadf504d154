#include <algorithm>
#include <exception>
#include <optional>
#include <ostream>

#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/library_versions.h"
#include "cli/self_test.h"
#include "cli/table.h"
#include "cli/words.h"
#include "core/words.h"
#include "model_files/model_locator.h"

namespace itemcrop::cli {
namespace {

struct Checkup {
  std::vector<DeviceInfo> devices;
  std::vector<std::pair<std::string, std::string>> libraries;
  std::optional<model_files::LocatedModel> model;
  std::string model_problem;  ///< empty: found and loaded
  std::vector<SelfTest> tests;
};

ExitCode exit_code_of(const Checkup& checkup) {
  if (!checkup.model_problem.empty()) return kModelProblem;
  const bool all_passed = std::all_of(checkup.tests.begin(), checkup.tests.end(),
                                      [](const SelfTest& test) { return test.passed; });
  return all_passed && !checkup.tests.empty() ? kOk : kDeviceProblem;
}

std::string words_of(const std::vector<Precision>& precisions) {
  std::vector<std::string> words;
  for (const Precision precision : precisions) words.emplace_back(to_string(precision));
  return join(words);
}

std::string describe(const SelfTest& test) {
  std::string line = std::string(test.passed ? "ok    " : "FAIL  ") + test.device_name + ", " +
                     std::string(to_string(test.precision)) + ": ";
  if (!test.passed) return line + test.problem + "\n";
  line += fixed(test.steady_ms, 0) + " ms a photo (first " + fixed(test.first_ms, 0) + " ms), ";
  return line + (test.compared ? "expected detections found\n" : "answers repeat\n");
}

std::string as_text(const Checkup& checkup) {
  std::string text = "Devices\n";
  for (const DeviceInfo& device : checkup.devices) {
    text += std::string(device.usable ? "ok    " : "-     ") + device.name;
    if (!device.detail.empty()) text += ": " + device.detail;
    if (device.usable) text += "; runs " + words_of(device.precisions);
    text += "\n";
  }
  text += "\nLibraries\n" + two_columns(checkup.libraries) + "\nModel\n";
  if (checkup.model) {
    text += (checkup.model_problem.empty() ? "ok    " : "FAIL  ") + checkup.model->name + " (" +
            checkup.model->origin + "): " + checkup.model->folder.string() + "\n";
  }
  if (!checkup.model_problem.empty()) return text + "FAIL  " + checkup.model_problem + "\n";
  text += "\nSelf-test\n";
  for (const SelfTest& test : checkup.tests) text += describe(test);
  return text;
}

std::string as_json(const Checkup& checkup) {
  using Json = nlohmann::ordered_json;
  Json devices = Json::array();
  for (const DeviceInfo& device : checkup.devices) {
    Json precisions = Json::array();
    for (const Precision precision : device.precisions) precisions.push_back(to_string(precision));
    devices.push_back({{"device", to_string(device.device)},
                       {"index", device.index},
                       {"name", device.name},
                       {"usable", device.usable},
                       {"detail", device.detail},
                       {"precisions", std::move(precisions)}});
  }
  Json libraries = Json::object();
  for (const auto& [name, version] : checkup.libraries) libraries[name] = version;
  Json tests = Json::array();
  for (const SelfTest& test : checkup.tests) {
    tests.push_back({{"device", to_string(test.device)},
                     {"index", test.device_index},
                     {"name", test.device_name},
                     {"precision", to_string(test.precision)},
                     {"passed", test.passed},
                     {"problem", test.passed ? Json(nullptr) : Json(test.problem)},
                     {"compared_with_expected", test.compared},
                     {"first_ms", test.first_ms},
                     {"steady_ms", test.steady_ms}});
  }
  Json model = nullptr;
  if (checkup.model) {
    model = {{"name", checkup.model->name},
             {"folder", checkup.model->folder.string()},
             {"origin", checkup.model->origin}};
  }
  const Json json = {{"healthy", exit_code_of(checkup) == kOk},
                     {"devices", std::move(devices)},
                     {"libraries", std::move(libraries)},
                     {"model", std::move(model)},
                     {"model_problem",
                      checkup.model_problem.empty() ? Json(nullptr) : Json(checkup.model_problem)},
                     {"self_tests", std::move(tests)}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Checkup examine(const DoctorArguments& arguments, const Environment& environment) {
  Checkup checkup;
  checkup.devices = environment.list_devices();
  checkup.libraries = library_versions();
  try {
    checkup.model = model_files::locate_model(
        arguments.model,
        model_files::default_model_search(environment.executable, environment.variable));
    const std::shared_ptr<const Model> model = environment.load_model(checkup.model->folder);
    const std::optional<ExpectedValues> expected = find_expected_values(*checkup.model);
    for (const DeviceInfo& device : checkup.devices) {
      if (!device.usable) continue;
      for (const Precision precision : device.precisions) {
        checkup.tests.push_back(
            test_device(*model, device, precision, arguments.threads, expected));
      }
    }
  } catch (const std::exception& error) {
    checkup.model_problem = error.what();
  }
  return checkup;
}

}  // namespace

ExitCode run_doctor(const DoctorArguments& arguments, const Environment& environment) {
  const Checkup checkup = examine(arguments, environment);
  environment.out << (arguments.json ? as_json(checkup) : as_text(checkup)) << std::flush;
  return exit_code_of(checkup);
}

}  // namespace itemcrop::cli
