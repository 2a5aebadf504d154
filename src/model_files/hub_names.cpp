#include "model_files/hub_names.h"

#include <algorithm>
#include <string>

#include "itemcrop/error.h"

namespace itemcrop::model_files {
namespace {

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= 96 && name.front() != '.' && name.front() != '-' &&
         name.back() != '.' && name.back() != '-' && name.find("--") == std::string_view::npos &&
         name.find("..") == std::string_view::npos &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

}  // namespace

void check_model_name(std::string_view name) {
  const std::size_t slash = name.find('/');
  const bool good = slash == std::string_view::npos
                        ? is_name(name)
                        : is_name(name.substr(0, slash)) && is_name(name.substr(slash + 1));
  if (good) return;
  throw Error(ErrorCode::kInvalidArgument,
              "a model of the hub is named OWNER/NAME (letters, digits, '-', '_' and '.'), got '" +
                  std::string(name.substr(0, 200)) + "'");
}

void check_revision(std::string_view revision) {
  std::string_view rest = revision;
  bool good = revision.size() <= 200;
  for (bool more = true; good && more;) {
    const std::size_t slash = rest.find('/');
    const std::string_view part = rest.substr(0, slash);
    good = !part.empty() && part.front() != '.' && part.front() != '-' &&
           std::all_of(part.begin(), part.end(), [](char c) {
             return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '-' || c == '_' || c == '.';
           });
    more = slash != std::string_view::npos;
    if (more) rest.remove_prefix(slash + 1);
  }
  if (good) return;
  throw Error(ErrorCode::kInvalidArgument, "--revision must be a branch, tag or commit, got '" +
                                               std::string(revision.substr(0, 200)) + "'");
}

}  // namespace itemcrop::model_files
