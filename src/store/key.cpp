#include "store/key.h"

#include <algorithm>
#include <array>
#include <utility>

#include "itemcrop/error.h"

namespace itemcrop::store {
namespace {

constexpr std::size_t kMaxKey = 900;
constexpr std::size_t kMaxName = 255;

bool is_name(std::string_view name) noexcept {
  return !name.empty() && name.size() <= kMaxName && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

}  // namespace

bool is_key(std::string_view key) noexcept {
  if (key.size() > kMaxKey) return false;
  for (;;) {
    const std::size_t slash = key.find('/');
    if (!is_name(key.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    key.remove_prefix(slash + 1);
  }
}

void check_key(std::string_view key) {
  if (is_key(key)) return;
  throw Error(ErrorCode::kInvalidArgument,
              "key must be names of letters, digits, '-', '_' and '.' separated by '/', at most " +
                  std::to_string(kMaxKey) + " bytes, got " + std::to_string(key.size()) +
                  " bytes: '" + std::string(key.substr(0, 80)) + "'");
}

std::string_view content_type_of(std::string_view key) noexcept {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kTypes = {
      {{".jpg", "image/jpeg"},
       {".jpeg", "image/jpeg"},
       {".png", "image/png"},
       {".webp", "image/webp"},
       {".json", "application/json"},
       {".zip", "application/zip"}}};
  for (const auto& [ending, type] : kTypes) {
    if (key.ends_with(ending)) return type;
  }
  return "application/octet-stream";
}

}  // namespace itemcrop::store
