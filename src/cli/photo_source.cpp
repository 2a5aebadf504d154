#include "cli/photo_source.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <system_error>
#include <unordered_set>

#include <glob.h>

#include "itemcrop/error.h"

#include "core/ascii.h"

namespace itemcrop::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxUrlStem = 100;

/// In a folder names decide what is a photo; what a file is, its bytes decide later.
bool has_image_extension(const fs::path& path) {
  static constexpr std::array<std::string_view, 12> kExtensions = {
      ".jpg", ".jpeg", ".jpe", ".jfif", ".png",  ".webp",
      ".tif", ".tiff", ".gif", ".heic", ".heif", ".avif"};
  const std::string extension = lower(path.extension().string());
  return std::find(kExtensions.begin(), kExtensions.end(), extension) != kExtensions.end();
}

bool is_hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

bool same_folder(const fs::path& a, const fs::path& b) {
  std::error_code ignored;
  return !b.empty() && fs::equivalent(a, b, ignored) && !ignored;
}

void collect(const fs::path& folder, bool recursive, const fs::path& skipped,
             std::vector<fs::path>& found) {
  std::error_code problem;
  fs::directory_iterator entries(folder, problem);
  if (problem) {
    throw Error(ErrorCode::kIo,
                "cannot read folder '" + folder.string() + "': " + problem.message());
  }
  for (const fs::directory_entry& entry : entries) {
    if (is_hidden(entry.path())) continue;
    std::error_code ignored;
    if (entry.is_directory(ignored)) {
      // Links to folders could lead round in circles.
      const bool enter = recursive && !entry.is_symlink(ignored);
      if (enter && !same_folder(entry.path(), skipped)) {
        collect(entry.path(), recursive, skipped, found);
      }
    } else if (has_image_extension(entry.path())) {
      found.push_back(entry.path());
    }
  }
}

std::vector<fs::path> photos_of_folder(const fs::path& folder, bool recursive,
                                       const fs::path& skipped) {
  std::vector<fs::path> found;
  collect(folder, recursive, skipped, found);
  std::sort(found.begin(), found.end());
  if (found.empty()) {
    throw Error(ErrorCode::kInvalidArgument,
                "no images in folder '" + folder.string() + "'" +
                    (recursive ? "" : " (its subfolders are searched with --recursive)"));
  }
  return found;
}

std::vector<fs::path> matches_of_pattern(const std::string& pattern) {
  glob_t matches{};
  std::vector<fs::path> found;
  if (::glob(pattern.c_str(), 0, nullptr, &matches) == 0) {
    for (std::size_t i = 0; i < matches.gl_pathc; ++i) found.emplace_back(matches.gl_pathv[i]);
  }
  ::globfree(&matches);
  if (found.empty()) {
    throw Error(ErrorCode::kInvalidArgument, "nothing matches '" + pattern + "'");
  }
  return found;
}

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

}  // namespace

bool is_url(const std::string& name) {
  const std::string start = lower(std::string_view(name).substr(0, 8));
  return start.starts_with("http://") || start == "https://";
}

std::string photo_stem(const std::string& name) {
  if (name == "-") return "stdin";
  if (!is_url(name)) return fs::path(name).stem().string();
  const std::size_t path = name.find_first_of("/?#", name.find("://") + 3);
  if (path == std::string::npos) return "url";
  std::string stem = fs::path(name.substr(path, name.find_first_of("?#", path) - path)).stem();
  // Some servers put a whole request into a name, and a file's name has an end.
  if (stem.size() > kMaxUrlStem) stem.resize(kMaxUrlStem);
  return stem.empty() ? "url" : stem;
}

std::vector<PhotoSource> find_photos(const std::vector<std::string>& inputs, bool recursive,
                                     const fs::path& skipped_folder) {
  std::vector<PhotoSource> photos;
  std::unordered_set<std::string> seen;
  const auto add_file = [&](const fs::path& path) {
    if (seen.insert(path.lexically_normal().string()).second) {
      photos.push_back({path.string(), path});
    }
  };
  const auto add_path = [&](const fs::path& path) {
    if (!is_folder(path)) return add_file(path);
    for (const fs::path& photo : photos_of_folder(path, recursive, skipped_folder)) {
      add_file(photo);
    }
  };
  for (const std::string& input : inputs) {
    std::error_code ignored;
    if (input == "-") {
      if (seen.insert(input).second) photos.push_back({"-", {}, true});
    } else if (is_url(input)) {
      if (seen.insert(input).second) photos.push_back({input, {}, false, true});
    } else if (input.find_first_of("*?[") != std::string::npos && !fs::exists(input, ignored)) {
      for (const fs::path& match : matches_of_pattern(input)) add_path(match);
    } else {
      add_path(input);
    }
  }
  if (photos.empty()) throw Error(ErrorCode::kInvalidArgument, "no photos given");
  return photos;
}

}  // namespace itemcrop::cli
