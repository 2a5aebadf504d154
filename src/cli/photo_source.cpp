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

/// Photos below a folder, whatever cannot be read left out; no folder is entered twice.
std::size_t count_below(const fs::path& folder, const fs::path& skipped) {
  std::size_t photos = 0;
  std::error_code ignored;
  fs::recursive_directory_iterator entries(folder, fs::directory_options::skip_permission_denied,
                                           ignored);
  for (; !ignored && entries != fs::recursive_directory_iterator(); entries.increment(ignored)) {
    std::error_code unknown;
    const bool hidden = is_hidden(entries->path());
    if (entries->is_directory(unknown)) {
      if (hidden || same_folder(entries->path(), skipped)) entries.disable_recursion_pending();
    } else if (!hidden && has_image_extension(entries->path())) {
      ++photos;
    }
  }
  return photos;
}

/// What is found in a folder, and what is passed over.
struct Folder {
  std::vector<fs::path> photos;
  std::size_t skipped = 0;
  std::size_t skipped_subfolders = 0;
};

void collect(const fs::path& folder, bool recursive, const fs::path& skipped, Folder& found) {
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
      if (entry.is_symlink(ignored) || same_folder(entry.path(), skipped)) continue;
      if (recursive) {
        collect(entry.path(), recursive, skipped, found);
      } else if (const std::size_t below = count_below(entry.path(), skipped); below > 0) {
        found.skipped += below;
        ++found.skipped_subfolders;
      }
    } else if (has_image_extension(entry.path())) {
      found.photos.push_back(entry.path());
    }
  }
}

Folder photos_of_folder(const fs::path& folder, bool recursive, const fs::path& skipped) {
  Folder found;
  collect(folder, recursive, skipped, found);
  std::sort(found.photos.begin(), found.photos.end());
  if (found.photos.empty()) {
    const std::string below = found.skipped > 0
                                  ? "; " + std::to_string(found.skipped) +
                                        " in its subfolders are included with --recursive"
                                  : "";
    throw Error(ErrorCode::kInvalidArgument,
                "no images in folder '" + folder.string() + "'" + below);
  }
  return found;
}

/// A shell splits a name with spaces that is not quoted: "my", "look.jpg".
void refuse_split_name(const std::vector<std::string>& inputs, std::size_t first) {
  constexpr std::size_t kMostParts = 16;
  std::string whole = inputs[first];
  std::error_code ignored;
  for (std::size_t i = first + 1; i < inputs.size() && i < first + kMostParts; ++i) {
    whole += " " + inputs[i];
    if (fs::exists(whole, ignored)) {
      throw Error(ErrorCode::kInvalidArgument, "there is no '" + inputs[first] +
                                                   "'; a name with spaces goes in quotes: \"" +
                                                   whole + "\"");
    }
  }
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

PhotoList find_photos(const std::vector<std::string>& inputs, bool recursive,
                      const fs::path& skipped_folder) {
  PhotoList list;
  std::unordered_set<std::string> seen;
  const auto add_file = [&](const fs::path& path) {
    if (seen.insert(path.lexically_normal().string()).second) {
      list.photos.push_back({path.string(), path});
    }
  };
  const auto add_path = [&](const fs::path& path) {
    if (!is_folder(path)) return add_file(path);
    const Folder folder = photos_of_folder(path, recursive, skipped_folder);
    for (const fs::path& photo : folder.photos) add_file(photo);
    list.skipped += folder.skipped;
    list.skipped_subfolders += folder.skipped_subfolders;
  };
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::string& input = inputs[i];
    std::error_code ignored;
    if (input == "-") {
      if (seen.insert(input).second) list.photos.push_back({"-", {}, true});
    } else if (is_url(input)) {
      if (seen.insert(input).second) list.photos.push_back({input, {}, false, true});
    } else if (fs::exists(input, ignored)) {
      add_path(input);
    } else if (input.find_first_of("*?[") != std::string::npos) {
      for (const fs::path& match : matches_of_pattern(input)) add_path(match);
    } else {
      refuse_split_name(inputs, i);
      add_path(input);
    }
  }
  if (list.photos.empty()) throw Error(ErrorCode::kInvalidArgument, "no photos given");
  return list;
}

}  // namespace itemcrop::cli
