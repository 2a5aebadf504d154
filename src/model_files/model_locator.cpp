#include "model_files/model_locator.h"

#include <algorithm>
#include <fstream>
#include <string_view>
#include <system_error>

#include <dlfcn.h>

#include "itemcrop/error.h"

#include "core/ascii.h"
#include "core/words.h"
#include "model_files/hub_names.h"
#include "model_files/known_models.h"

namespace itemcrop::model_files {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kHubPrefix = "models--";
constexpr const char* kHubOrigin = "the Hugging Face cache";

bool is_model(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_regular_file(folder / "config.json", ignored);
}

/// One path component that stays where it is put.
bool is_plain_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

bool is_revision(const std::string& text) {
  try {
    check_revision(text);
    return true;
  } catch (const Error&) {
    return false;
  }
}

bool is_hub_name(const std::string& text) {
  try {
    check_model_name(text);
    return text.find('/') != std::string::npos;
  } catch (const Error&) {
    return false;
  }
}

std::vector<fs::path> subfolders(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code problem;
  for (fs::directory_iterator entry(folder, problem), end; !problem && entry != end;
       entry.increment(problem)) {
    std::error_code ignored;
    if (entry->is_directory(ignored)) found.push_back(entry->path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

/// models--OWNER--NAME/refs/REVISION names the snapshot; without it the only snapshot is taken.
std::optional<fs::path> hub_snapshot(const fs::path& repository, const std::string& revision) {
  if (!is_revision(revision)) return std::nullopt;
  std::string commit = revision;
  std::ifstream reference(repository / "refs" / revision);
  if (reference) std::getline(reference, commit);
  commit = tidy(commit);
  if (is_plain_name(commit) && is_model(repository / "snapshots" / commit)) {
    return repository / "snapshots" / commit;
  }
  const std::vector<fs::path> snapshots = subfolders(repository / "snapshots");
  if (revision == "main" && snapshots.size() == 1 && is_model(snapshots.front())) {
    return snapshots.front();
  }
  return std::nullopt;
}

/// "models--OWNER--NAME" -> "OWNER/NAME".
std::string hub_name(const fs::path& repository) {
  std::string name = repository.filename().string().substr(kHubPrefix.size());
  if (const std::size_t at = name.find("--"); at != std::string::npos) name.replace(at, 2, "/");
  return name;
}

std::vector<fs::path> hub_repositories(const fs::path& hub) {
  if (hub.empty()) return {};
  std::vector<fs::path> found = subfolders(hub);
  std::erase_if(found, [](const fs::path& folder) {
    return !folder.filename().string().starts_with(kHubPrefix);
  });
  return found;
}

/// `name` is "OWNER/NAME" or the part behind the slash, in any spelling of is_same_model().
std::optional<LocatedModel> locate_in_hub(const std::string& wanted, const fs::path& hub) {
  const std::size_t at = wanted.rfind('@');
  const std::string name = wanted.substr(0, at);
  const std::string revision = at == std::string::npos ? "main" : wanted.substr(at + 1);
  for (const fs::path& repository : hub_repositories(hub)) {
    const std::string full = hub_name(repository);
    if (!is_same_model(full, name)) continue;
    if (const auto folder = hub_snapshot(repository, revision)) {
      return LocatedModel{full, *folder, kHubOrigin};
    }
  }
  return std::nullopt;
}

std::string name_of_folder(const fs::path& folder) {
  std::error_code ignored;
  const fs::path absolute = fs::absolute(folder, ignored).lexically_normal();
  const fs::path name =
      absolute.has_filename() ? absolute.filename() : absolute.parent_path().filename();
  return name.string();
}

}  // namespace

fs::path hugging_face_home(const Variable& variable) {
  const auto set = [&](const char* name) { return fs::path(variable(name).value_or("")); };
  if (fs::path home = set("HF_HOME"); !home.empty()) return home;
  if (const fs::path caches = set("XDG_CACHE_HOME"); !caches.empty()) return caches / "huggingface";
  const fs::path user = set("HOME");
  return user.empty() ? user : user / ".cache/huggingface";
}

fs::path this_binary() {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(&this_binary), &info) == 0) return {};
  std::error_code problem;
  const fs::path path = fs::canonical(info.dli_fname, problem);
  return problem ? fs::path() : path;
}

ModelSearch default_model_search(const fs::path& binary, const Variable& variable) {
  ModelSearch search;
  if (const auto folders = variable("ITEMCROP_MODELS")) {
    std::string_view rest = *folders;
    while (!rest.empty()) {
      const std::size_t colon = rest.find(':');
      if (colon != 0) search.places.push_back({rest.substr(0, colon), "$ITEMCROP_MODELS"});
      rest.remove_prefix(colon == std::string_view::npos ? rest.size() : colon + 1);
    }
  }
  if (!binary.empty()) {
    const fs::path folder = binary.parent_path();
    search.places.push_back({folder / "models", "beside the program"});
    for (const char* above : {"../share/itemcrop/models", "../../share/itemcrop/models"}) {
      search.places.push_back({(folder / above).lexically_normal(), "the installation"});
    }
    // A build folder inside the source tree: build/release/bin/itemcrop.
    for (const char* above : {"../models", "../../models", "../../../models"}) {
      search.places.push_back({(folder / above).lexically_normal(), "the source tree"});
    }
  }
  search.places.push_back({ITEMCROP_SOURCE_MODELS, "the source tree"});
  search.places.push_back({ITEMCROP_INSTALLED_MODELS, "the installation"});

  search.hugging_face_hub = variable("HF_HUB_CACHE").value_or("");
  if (search.hugging_face_hub.empty()) {
    const fs::path home = hugging_face_home(variable);
    if (!home.empty()) search.hugging_face_hub = home / "hub";
  }
  return search;
}

LocatedModel locate_model(const std::string& wanted, const ModelSearch& search) {
  if (is_plain_name(wanted)) {
    for (const ModelSearch::Place& place : search.places) {
      if (is_model(place.folder / wanted)) return {wanted, place.folder / wanted, place.origin};
    }
  }
  if (is_model(wanted)) return {name_of_folder(wanted), wanted, "the folder given"};
  if (auto model = locate_in_hub(wanted, search.hugging_face_hub)) return *model;

  std::error_code ignored;
  if (fs::is_directory(wanted, ignored)) {
    throw Error(ErrorCode::kNotFound, "folder '" + wanted + "' holds no config.json");
  }
  std::vector<std::string> known;
  for (const LocatedModel& model : list_models(search)) known.push_back(model.name);
  const auto typo = find_known_model(wanted) ? std::nullopt : closest(wanted, known);
  std::string message = "no model '" + wanted + "'";
  if (typo) {
    message += "; did you mean '" + *typo + "'?";
  } else if (is_hub_name(wanted) || find_known_model(wanted) != nullptr) {
    message += "; 'itemcrop models pull " + wanted + "' brings it from the Hugging Face hub";
  } else {
    message += "; give a folder with config.json and model.safetensors, or one of: " +
               (known.empty() ? "(none installed)" : join(known));
  }
  throw Error(ErrorCode::kNotFound, message);
}

std::vector<LocatedModel> list_models(const ModelSearch& search) {
  std::vector<LocatedModel> models;
  const auto add = [&](LocatedModel model) {
    const bool known = std::any_of(models.begin(), models.end(), [&](const LocatedModel& other) {
      return other.name == model.name;
    });
    if (!known) models.push_back(std::move(model));
  };
  for (const ModelSearch::Place& place : search.places) {
    for (const fs::path& folder : subfolders(place.folder)) {
      if (is_model(folder)) add({folder.filename().string(), folder, place.origin});
    }
  }
  for (const fs::path& repository : hub_repositories(search.hugging_face_hub)) {
    if (const auto folder = hub_snapshot(repository, "main")) {
      add({hub_name(repository), *folder, kHubOrigin});
    }
  }
  return models;
}

}  // namespace itemcrop::model_files
