#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace itemcrop::cli {

/// One photo to read.
struct PhotoSource {
  std::string name;            ///< as results show it: the path, "-" for standard input, the URL
  std::filesystem::path path;  ///< empty for standard input and URLs
  bool standard_input = false;
  bool url = false;  ///< `name` is one
};

/// Begins with http:// or https://, in any case.
bool is_url(const std::string& name);

/// A photo's name without folders and ending, for naming files: "look" for "photos/look.jpg" and
/// for "https://a.example/b/look.jpg?x=1", "stdin" for "-".
std::string photo_stem(const std::string& name);

/// What there is to read.
struct PhotoList {
  std::vector<PhotoSource> photos;
  std::size_t skipped = 0;             ///< photos in subfolders that were not asked for
  std::size_t skipped_subfolders = 0;  ///< those that hold them, directly or below
};

/// Turns what the user typed into photos, in the order given and without repeats:
/// - "-" is standard input;
/// - what begins with http:// or https:// is a URL;
/// - a folder stands for the image files in it, by extension and sorted by name, hidden files
///   left out (with `recursive`, of its subfolders too; `skipped_folder` is never entered);
/// - a pattern with * ? or [ that is not itself a file stands for what it matches, sorted;
/// - anything else is a file, which may turn out to be missing when it is read.
/// Throws Error(kInvalidArgument): no inputs, a folder without images, a pattern without matches,
/// parts of a name with spaces that was not quoted; Error(kIo): a folder that cannot be read.
PhotoList find_photos(const std::vector<std::string>& inputs, bool recursive,
                      const std::filesystem::path& skipped_folder = {});

}  // namespace itemcrop::cli
