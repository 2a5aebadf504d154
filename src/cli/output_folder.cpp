#include "cli/output_folder.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <system_error>
#include <utility>
#include <vector>

#include <unistd.h>

#include "itemcrop/error.h"

#include "core/atomic_file.h"

namespace itemcrop::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kOwnFolder = ".itemcrop";
constexpr const char* kRecordFile = "run.json";
constexpr const char* kListFile = "files.txt";
constexpr const char* kPrevious = "previous";
/// All that a run writes; the folder of notes goes last, so that an interrupted move is continued.
constexpr std::array kParts = {"crops",        "annotated",  "thumbnails",
                               "results.json", "index.html", kOwnFolder};

[[noreturn]] void fail(const std::string& what, const std::error_code& problem) {
  throw Error(ErrorCode::kIo, what + ": " + problem.message());
}

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(path, ignored));
}

Json json_of_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return Json::parse(file, nullptr, false);
}

RunRecord record_of(const Json& json) {
  const auto text = [&](const char* key) {
    return json.contains(key) && json[key].is_string() ? json[key].get<std::string>() : "";
  };
  RunRecord record;
  record.version = text("version");
  record.date = text("date");
  for (const char* key : {"model", "items", "categories", "settings"}) {
    if (json.contains(key)) record.run[key] = json[key];
  }
  return record;
}

std::optional<RunRecord> record_in(const fs::path& folder) {
  const Json own = json_of_file(folder / kOwnFolder / kRecordFile);
  if (own.is_object()) {
    RunRecord record = record_of(own);
    if (own.contains("photos") && own["photos"].is_number_unsigned()) {
      record.photos = own["photos"].get<std::size_t>();
    }
    record.complete = own.contains("complete") && own["complete"] == true;
    return record;
  }
  // Of a release before 0.3, or of a run whose notes were deleted.
  const Json results = json_of_file(folder / "results.json");
  if (!results.is_object() || !results.contains("model") || !results.contains("images") ||
      !results["images"].is_array()) {
    return std::nullopt;
  }
  RunRecord record = record_of(results);
  record.photos = results["images"].size();
  record.complete = !results.contains("complete") || results["complete"] == true;
  return record;
}

void make_folder(const fs::path& folder) {
  std::error_code problem;
  fs::create_directories(folder, problem);
  if (problem) fail("cannot create the output folder '" + folder.string() + "'", problem);
}

/// Says before the work what would otherwise be said after it.
void check_can_be_made(const fs::path& folder) {
  std::error_code problem;
  fs::path at = fs::absolute(folder, problem).lexically_normal();
  while (at.has_parent_path() && at != at.parent_path() && !is_there(at)) at = at.parent_path();
  const bool is_folder = fs::is_directory(at, problem);
  if (is_folder && ::access(at.c_str(), W_OK | X_OK) == 0) return;
  fail("cannot write to the output folder '" + folder.string() + "'",
       is_folder ? std::error_code(errno, std::generic_category())
                 : std::make_error_code(std::errc::not_a_directory));
}

/// Deletes what a run wrote, by its own list, and the folders that are empty then.
void delete_run(const fs::path& folder) {
  std::error_code ignored;
  std::ifstream list(folder / kOwnFolder / kListFile, std::ios::binary);
  for (std::string line; std::getline(list, line);) {
    const fs::path path(line);
    const bool inside = !line.empty() && path.is_relative() && line.find("..") == line.npos;
    if (inside && !fs::is_directory(folder / path, ignored)) fs::remove(folder / path, ignored);
  }
  fs::remove(folder / kOwnFolder / kRecordFile, ignored);
  fs::remove(folder / kOwnFolder / kListFile, ignored);
  for (const char* part : kParts) {
    if (fs::is_directory(folder / part, ignored)) fs::remove(folder / part, ignored);
  }
  fs::remove(folder, ignored);
}

}  // namespace

std::vector<std::string> differences(const RunRecord& a, const RunRecord& b) {
  std::vector<std::string> names;
  const auto compare = [&](const Json& one, const Json& other, const char* key) {
    const Json none;
    const Json& left = one.contains(key) ? one[key] : none;
    const Json& right = other.contains(key) ? other[key] : none;
    if (left != right) names.emplace_back(key);
  };
  for (const char* key : {"model", "items", "categories"}) compare(a.run, b.run, key);
  const Json none = Json::object();
  const Json& before = a.run.contains("settings") ? a.run["settings"] : none;
  const Json& after = b.run.contains("settings") ? b.run["settings"] : none;
  for (const auto& [key, value] : after.items()) compare(before, after, key.c_str());
  return names;
}

OutputFolder::OutputFolder(fs::path folder, std::span<const std::string_view> pages)
    : folder_(std::move(folder)), earlier_(record_in(folder_)) {
  check_can_be_made(folder_);
  if (earlier_) return;
  for (const std::string_view page : pages) {
    if (is_there(folder_ / page)) {
      throw Error(ErrorCode::kIo, "--out: '" + (folder_ / page).string() +
                                      "' was not written by itemcrop and is not replaced; choose "
                                      "another folder");
    }
  }
}

fs::path OutputFolder::previous() const {
  for (int number = 1;; ++number) {
    fs::path path =
        folder_ / (number == 1 ? kPrevious : std::string(kPrevious) + "-" + std::to_string(number));
    if (!is_there(path) || is_there(path / kOwnFolder / kListFile)) return path;
  }
}

bool OutputFolder::moves(const fs::path& file) const {
  if (!earlier_) return false;
  std::error_code problem;
  const fs::path folder = fs::weakly_canonical(folder_, problem);
  const fs::path inside = fs::weakly_canonical(file, problem).lexically_relative(folder);
  return !inside.empty() && std::any_of(kParts.begin(), kParts.end(),
                                        [&](const char* part) { return *inside.begin() == part; });
}

void OutputFolder::open(const RunRecord& record) {
  make_folder(folder_);
  if (earlier_) move_earlier();
  make_folder(folder_ / kOwnFolder);
  record_ = record;
  record_.complete = false;
  write_record();
  const fs::path list = folder_ / kOwnFolder / kListFile;
  list_.open(list, std::ios::binary | std::ios::trunc);
  if (!list_) throw Error(ErrorCode::kIo, "cannot write '" + list.string() + "'");
}

void OutputFolder::move_earlier() {
  const fs::path target = previous();
  delete_run(target);
  // What is left belongs to somebody: it stays, and the results go beside it.
  const fs::path place = is_there(target) ? previous() : target;
  make_folder(place);
  for (const char* part : kParts) {
    if (!is_there(folder_ / part)) continue;
    std::error_code problem;
    fs::rename(folder_ / part, place / part, problem);
    if (problem) {
      fail("cannot move '" + (folder_ / part).string() + "' to '" + place.string() + "'", problem);
    }
  }
}

void OutputFolder::write_record() {
  Json json = {{"version", record_.version}, {"date", record_.date}};
  json.update(record_.run);
  json["photos"] = record_.photos;
  json["complete"] = record_.complete;
  write_file_atomically(folder_ / kOwnFolder / kRecordFile,
                        json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

void OutputFolder::note(const fs::path& path) {
  if (path.has_parent_path()) make_folder(folder_ / path.parent_path());
  list_ << path.generic_string() << '\n' << std::flush;
  if (!list_) {
    throw Error(ErrorCode::kIo,
                "cannot write '" + (folder_ / kOwnFolder / kListFile).string() + "'");
  }
}

void OutputFolder::write(const fs::path& path, std::span<const std::byte> bytes) {
  note(path);
  write_file_atomically(folder_ / path, bytes);
}

void OutputFolder::write(const fs::path& path, std::string_view text) {
  write(path, std::as_bytes(std::span(text.data(), text.size())));
}

void OutputFolder::complete() {
  record_.complete = true;
  write_record();
}

}  // namespace itemcrop::cli
