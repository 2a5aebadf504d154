#include <cmath>
#include <ostream>

#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/table.h"
#include "cli/words.h"
#include "core/words.h"
#include "model_files/model_locator.h"
#include "taxonomy/taxonomy.h"

namespace itemcrop::cli {
namespace {

constexpr std::size_t kTextWidth = 72;  // of a column of words

std::string capitalised(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] += 'A' - 'a';
  return text;
}

/// 0.4F as 0.4, not as the double that it is.
double rounded(float value) { return std::round(1e4 * double{value}) / 1e4; }

/// The words that a model was taught; empty: it may be asked for anything.
std::vector<std::string> taught_words(const model_files::LocatedModel& located) {
  return taxonomy::Catalog().for_model(located.name).taught_words();
}

std::string as_json(const model_files::LocatedModel& located, const ModelInfo& info) {
  nlohmann::ordered_json details = nlohmann::ordered_json::object();
  for (const auto& [name, value] : info.details) details[name] = value;
  const nlohmann::ordered_json json = {{"name", located.name},
                                       {"folder", located.folder.string()},
                                       {"origin", located.origin},
                                       {"model_type", info.model_type},
                                       {"stored_dtype", info.stored_dtype},
                                       {"parameters", info.parameters},
                                       {"tensors", info.tensors},
                                       {"queries", info.queries},
                                       {"max_text_tokens", info.max_text_tokens},
                                       {"shortest_edge", info.shortest_edge},
                                       {"longest_edge", info.longest_edge},
                                       {"threshold", rounded(info.threshold)},
                                       {"text_threshold", rounded(info.text_threshold)},
                                       {"taught_words", taught_words(located)},
                                       {"details", std::move(details)}};
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string as_table(const model_files::LocatedModel& located, const ModelInfo& info,
                     const model_files::ModelSearch& search) {
  std::vector<std::pair<std::string, std::string>> rows = {
      {"Model", located.name + " (" + located.origin + ")"},
      {"Folder", located.folder.string()},
      {"Type", info.model_type},
      {"Parameters", with_thousands(info.parameters) + " in " + with_thousands(info.tensors) +
                         " tensors, stored as " + info.stored_dtype},
      {"Boxes", std::to_string(info.queries) + " at most"},
      {"Words", std::to_string(info.max_text_tokens) + " tokens a pass; more take more passes"},
      {"Image size", std::to_string(info.shortest_edge) + " pixels, the longer side at most " +
                         std::to_string(info.longest_edge)},
      {"Thresholds", fixed(info.threshold, 2) + ", of words " + fixed(info.text_threshold, 2) +
                         ", where none is given"},
  };
  const std::string taught = join(taught_words(located));
  for (std::size_t at = 0; at < taught.size();) {
    std::size_t end = taught.size();
    if (end - at > kTextWidth) end = taught.rfind(", ", at + kTextWidth) + 2;
    rows.emplace_back(at == 0 ? "Taught" : "", taught.substr(at, end - at));
    at = end;
  }
  for (const auto& [name, value] : info.details) rows.emplace_back(capitalised(name), value);
  std::vector<std::string> others;
  for (const model_files::LocatedModel& model : model_files::list_models(search)) {
    if (model.name != located.name) others.push_back(model.name);
  }
  if (!others.empty()) rows.emplace_back("Other models", join(others));
  return two_columns(rows);
}

}  // namespace

ExitCode run_info(const InfoArguments& arguments, const Environment& environment) {
  const model_files::ModelSearch search =
      model_files::default_model_search(environment.executable, environment.variable);
  const model_files::LocatedModel located = model_files::locate_model(arguments.model, search);
  const ModelInfo info = environment.load_model(located.folder)->info();
  environment.out << (arguments.json ? as_json(located, info) : as_table(located, info, search))
                  << std::flush;
  return kOk;
}

}  // namespace itemcrop::cli
