#include <cstdint>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <ostream>
#include <system_error>

#include <nlohmann/json.hpp>

#include "itemcrop/error.h"

#include "cli/commands.h"
#include "cli/interrupt_watch.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/words.h"
#include "core/ascii.h"
#include "core/stopwatch.h"
#include "hub/pull.h"
#include "model_files/known_models.h"
#include "model_files/model_locator.h"

namespace itemcrop::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr double kMega = 1e6;

std::string dump(const ordered_json& json) {
  return json.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

/// As huggingface_hub reads its switches.
bool is_set(const Environment& environment, const std::string& name) {
  const std::string value = lower(environment.variable(name).value_or(""));
  return value == "1" || value == "on" || value == "yes" || value == "true";
}

/// $HF_TOKEN, or the file that `hf auth login` writes.
std::string find_token(const Environment& environment) {
  for (const char* name : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}) {
    std::string token = tidy(environment.variable(name).value_or(""));
    if (!token.empty()) return token;
  }
  if (is_set(environment, "HF_HUB_DISABLE_IMPLICIT_TOKEN")) return {};
  fs::path path = environment.variable("HF_TOKEN_PATH").value_or("");
  if (path.empty()) {
    path = model_files::hugging_face_home(environment.variable) / "token";
  }
  std::string token;
  std::ifstream file(path);
  std::getline(file, token);
  return tidy(token);
}

/// "model.safetensors  [######      ]  120/690 MB  12 MB/s  0:48 left", and a line for each file
/// that is finished. Drawn on a terminal only, but the lines come anyway.
class PullDisplay {
 public:
  PullDisplay(const Environment& environment, bool quiet)
      : environment_(environment), draws_(environment.err_is_terminal && !quiet), tells_(!quiet) {}
  ~PullDisplay() { clear(); }
  PullDisplay(const PullDisplay&) = delete;
  PullDisplay& operator=(const PullDisplay&) = delete;

  void show(const hub::PullProgress& progress) {
    const std::lock_guard lock(mutex_);
    if (!had_bytes_) had_bytes_ = progress.all_done;
    if (progress.finished) {
      erase();
      if (tells_) {
        environment_.err << printable(progress.file) << "  "
                         << fixed(static_cast<double>(progress.total) / kMega, 1) << " MB\n"
                         << std::flush;
      }
    } else if (draws_ && (!drawn_ || watch_.seconds() - last_drawn_ > 0.1)) {
      erase();
      last_drawn_ = watch_.seconds();
      environment_.err << transfer_line(progress.file, progress.all_done, progress.all_total,
                                        *had_bytes_, last_drawn_)
                       << std::flush;
      drawn_ = true;
    }
  }

  void clear() {
    const std::lock_guard lock(mutex_);
    erase();
  }

 private:
  void erase() {
    if (drawn_) environment_.err << "\r\x1b[K" << std::flush;
    drawn_ = false;
  }

  const Environment& environment_;
  const bool draws_;
  const bool tells_;
  std::mutex mutex_;
  Stopwatch watch_;
  std::optional<std::uint64_t> had_bytes_;
  double last_drawn_ = 0;
  bool drawn_ = false;
};

ExitCode pull(const ModelsArguments& arguments, const Environment& environment) {
  const model_files::ModelSearch search =
      model_files::default_model_search(environment.executable, environment.variable);
  hub::PullOptions options;
  options.cache = search.hugging_face_hub;
  options.offline = is_set(environment, "HF_HUB_OFFLINE");
  options.token = find_token(environment);
  const std::string endpoint = tidy(environment.variable("HF_ENDPOINT").value_or(""));
  if (!endpoint.empty()) options.endpoint = endpoint;

  const std::string name = model_files::repository_of(arguments.model);
  PullDisplay display(environment, arguments.quiet);
  const InterruptWatch watch([&] {
    display.clear();
    print_error(environment, "interrupted; the same command goes on where this one ended");
  });
  hub::PulledModel pulled;
  try {
    pulled = hub::pull(name, arguments.revision, options,
                       [&](const hub::PullProgress& progress) { display.show(progress); });
  } catch (const Error& error) {
    display.clear();
    const ErrorCode code = error.code();
    if (code != ErrorCode::kForbidden && code != ErrorCode::kUnavailable &&
        code != ErrorCode::kDeadlineExceeded && code != ErrorCode::kLimitExceeded) {
      throw;
    }
    // Exit code 1 would say that photos failed.
    print_error(environment, error.what());
    return kModelProblem;
  }
  if (arguments.json) {
    environment.out << dump({{"name", name},
                             {"revision", arguments.revision},
                             {"commit", pulled.commit},
                             {"folder", pulled.folder.string()},
                             {"files", pulled.files}});
  } else if (!arguments.quiet) {
    environment.out << two_columns(
        {{"Model", name}, {"Commit", pulled.commit}, {"Folder", pulled.folder.string()}});
  }
  environment.out << std::flush;
  return kOk;
}

/// Of the files themselves, where the cache has links.
std::uint64_t bytes_of(const fs::path& folder) {
  std::uint64_t total = 0;
  std::error_code problem;
  for (fs::directory_iterator at(folder, problem), end; !problem && at != end;
       at.increment(problem)) {
    std::error_code ignored;
    const auto size = fs::file_size(at->path(), ignored);
    if (!ignored) total += size;
  }
  return total;
}

ExitCode list(const ModelsArguments& arguments, const Environment& environment) {
  const model_files::ModelSearch search =
      model_files::default_model_search(environment.executable, environment.variable);
  ordered_json models = ordered_json::array();
  std::vector<std::pair<std::string, std::string>> rows;
  for (const model_files::LocatedModel& model : model_files::list_models(search)) {
    const std::uint64_t bytes = bytes_of(model.folder);
    models.push_back({{"name", model.name},
                      {"folder", model.folder.string()},
                      {"origin", model.origin},
                      {"bytes", bytes}});
    rows.emplace_back(model.name, fixed(static_cast<double>(bytes) / kMega, 1) + " MB, " +
                                      model.origin + ", " + model.folder.string());
  }
  environment.out << (arguments.json ? dump({{"models", models}}) : two_columns(rows))
                  << std::flush;
  return kOk;
}

ordered_json or_null(const std::optional<double>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

ExitCode list_known(const ModelsArguments& arguments, const Environment& environment) {
  ordered_json models = ordered_json::array();
  std::vector<std::pair<std::string, std::string>> rows;
  for (const model_files::KnownModel& model : model_files::known_models()) {
    models.push_back({{"name", model.name},
                      {"repository", model.repository},
                      {"backbone", model.backbone},
                      {"bytes", std::uint64_t{1'000'000} * static_cast<unsigned>(model.megabytes)},
                      {"licence", model.licence},
                      {"coco_ap", or_null(model.coco)},
                      {"lvis_minival_ap", or_null(model.lvis)},
                      {"advice", model.advice}});
    std::string row = std::string(model.backbone) + ", " + std::to_string(model.megabytes) +
                      " MB, " + std::string(model.licence);
    if (model.coco) row += ", COCO " + fixed(*model.coco, 1);
    if (model.lvis) row += ", LVIS " + fixed(*model.lvis, 1);
    if (!model.advice.empty()) row += "; " + std::string(model.advice);
    rows.emplace_back(model.name, row);
  }
  environment.out << (arguments.json ? dump({{"models", models}})
                                     : two_columns(rows) +
                                           "\nCOCO and LVIS: published box AP, zero-shot. Get one "
                                           "with: itemcrop models pull NAME\n")
                  << std::flush;
  return kOk;
}

}  // namespace

ExitCode run_models(const ModelsArguments& arguments, const Environment& environment) {
  if (arguments.action == "pull") return pull(arguments, environment);
  return arguments.known ? list_known(arguments, environment) : list(arguments, environment);
}

}  // namespace itemcrop::cli
