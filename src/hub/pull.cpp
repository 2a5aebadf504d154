#include "hub/pull.h"

#include <algorithm>
#include <system_error>

#include "itemcrop/error.h"

#include "hub/cache.h"
#include "hub/download.h"
#include "hub/hub_api.h"
#include "model_files/hub_names.h"

namespace itemcrop::hub {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfig = "config.json";
constexpr const char* kWeights = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

bool holds(const std::vector<std::string>& files, const std::string& name) {
  return std::find(files.begin(), files.end(), name) != files.end();
}

PulledModel pull_offline(const std::string& model, const std::string& revision,
                         const CachedModel& cached) {
  if (const auto commit = cached.commit_of(revision)) {
    std::error_code ignored;
    const fs::path folder = cached.snapshot(*commit);
    const bool complete =
        fs::exists(folder / kConfig, ignored) &&
        (fs::exists(folder / kWeights, ignored) || fs::exists(folder / kIndex, ignored));
    if (complete) {
      PulledModel pulled{folder, *commit, {}};
      for (fs::directory_iterator at(folder, ignored), end; !ignored && at != end;
           at.increment(ignored)) {
        pulled.files.push_back(at->path().filename().string());
      }
      std::sort(pulled.files.begin(), pulled.files.end());
      return pulled;
    }
  }
  throw Error(ErrorCode::kUnavailable, model + " at revision " + revision +
                                           " is not in the cache, and HF_HUB_OFFLINE forbids to "
                                           "ask the hub");
}

/// Counts over all files.
class Tally {
 public:
  explicit Tally(const ProgressSink& sink) : sink_(sink) {}

  void expect(const std::vector<RemoteFile>& files) {
    for (const RemoteFile& file : files) all_total_ += file.size;
  }

  void report(const RemoteFile& file, std::uint64_t done, bool finished) {
    if (sink_) sink_({file.name, done, file.size, before_ + done, all_total_, finished});
    if (finished) before_ += file.size;
  }

 private:
  const ProgressSink& sink_;
  std::uint64_t before_ = 0;
  std::uint64_t all_total_ = 0;
};

std::uint64_t size_of(const fs::path& path) {
  std::error_code problem;
  const auto size = fs::file_size(path, problem);
  return problem ? 0 : size;
}

/// Better said before the download than after hours of it.
void check_space(const fs::path& cache, const CachedModel& cached,
                 const std::vector<RemoteFile>& files) {
  std::uint64_t needed = 0;
  for (const RemoteFile& file : files) {
    std::error_code ignored;
    if (fs::exists(cached.blob(file.hash), ignored)) continue;
    needed += file.size - std::min(file.size, size_of(cached.incomplete(file.hash)));
  }
  std::error_code problem;
  const fs::space_info space = fs::space(cache, problem);
  if (!problem && space.available < needed) {
    throw Error(ErrorCode::kIo, cache.string() + ": " + std::to_string(needed) +
                                    " bytes are needed, " + std::to_string(space.available) +
                                    " are free");
  }
}

}  // namespace

std::vector<std::string> files_to_pull(const std::vector<std::string>& held) {
  std::vector<std::string> files;
  for (const char* name : {"preprocessor_config.json", "processor_config.json",
                           "tokenizer_config.json", "tokenizer.json", "vocab.txt"}) {
    if (holds(held, name)) files.emplace_back(name);
  }
  const auto need = [](bool there, const std::string& what) {
    if (!there) throw Error(ErrorCode::kUnsupportedModel, "the repository holds no " + what);
  };
  need(holds(held, kConfig), kConfig);
  need(holds(files, "tokenizer.json") || holds(files, "vocab.txt"), "tokenizer.json or vocab.txt");
  need(holds(held, kWeights) || holds(held, kIndex),
       "model.safetensors (weights in other formats are not read)");
  files.emplace_back(holds(held, kWeights) ? kWeights : kIndex);
  // The last to be linked: a folder without it is no model to anybody.
  files.emplace_back(kConfig);
  return files;
}

PulledModel pull(const std::string& model, const std::string& revision, const PullOptions& options,
                 const ProgressSink& progress, std::stop_token stop) {
  model_files::check_model_name(model);
  model_files::check_revision(revision);
  if (options.cache.empty()) {
    throw Error(ErrorCode::kInvalidArgument,
                "no folder for the Hugging Face cache: set HF_HUB_CACHE, HF_HOME or HOME");
  }
  const CachedModel cached(options.cache, model);
  if (options.offline) return pull_offline(model, revision, cached);

  HubApi api(options, model, revision);
  const Repository repository = api.repository(stop);
  const std::vector<std::string> names = files_to_pull(repository.files);
  cached.create_folders();

  Tally tally(progress);
  std::vector<RemoteFile> files;
  const auto ask = [&](const std::vector<std::string>& wanted) {
    std::vector<RemoteFile> found;
    for (const std::string& name : wanted) found.push_back(api.file(repository.commit, name, stop));
    check_space(options.cache, cached, found);
    tally.expect(found);
    return found;
  };
  const auto bring = [&](const std::vector<RemoteFile>& wanted) {
    for (const RemoteFile& file : wanted) {
      const auto done = [&](std::uint64_t bytes) { tally.report(file, bytes, false); };
      download(api, cached, file, options, done, stop);
      tally.report(file, file.size, true);
      files.push_back(file);
    }
  };
  bring(ask(names));
  const auto index = std::find_if(files.begin(), files.end(),
                                  [](const RemoteFile& file) { return file.name == kIndex; });
  if (index != files.end()) {
    const std::vector<std::string> shards = shards_of_index(cached.blob(index->hash));
    for (const std::string& shard : shards) {
      if (!holds(repository.files, shard)) {
        throw Error(ErrorCode::kCorruptModel,
                    "the repository holds no " + shard + ", which its index names");
      }
    }
    bring(ask(shards));
  }

  PulledModel pulled{cached.snapshot(repository.commit), repository.commit, {}};
  for (const RemoteFile& file : files) {
    if (file.name != kConfig) cached.link(repository.commit, file.name, file.hash);
    pulled.files.push_back(file.name);
  }
  for (const RemoteFile& file : files) {
    if (file.name == kConfig) cached.link(repository.commit, file.name, file.hash);
  }
  cached.write_reference(revision, repository.commit);
  return pulled;
}

}  // namespace itemcrop::hub
