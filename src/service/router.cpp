#include "service/router.h"

#include <optional>

namespace itemcrop::service {
namespace {

/// What {} or {*} stands for, empty for a pattern without; none if the path does not fit.
std::optional<std::string> fit(std::string_view pattern, std::string_view path) {
  const std::size_t brace = pattern.find('{');
  if (brace == pattern.npos) return pattern == path ? std::optional(std::string()) : std::nullopt;
  if (!path.starts_with(pattern.substr(0, brace))) return std::nullopt;
  path.remove_prefix(brace);
  const std::string_view rest = pattern.substr(pattern.find('}') + 1);
  if (!path.ends_with(rest) || path.size() <= rest.size()) return std::nullopt;
  const std::string_view middle = path.substr(0, path.size() - rest.size());
  if (pattern[brace + 1] != '*' && middle.find('/') != middle.npos) return std::nullopt;
  return std::string(middle);
}

}  // namespace

Router::Match Router::match(std::string_view method, std::string_view path) const {
  Match found;
  if (method == "HEAD") method = "GET";
  for (const Route& route : routes_) {
    auto argument = fit(route.pattern, path);
    if (!argument) continue;
    if (route.method == method) return {&route, std::move(*argument), {}};
    found.allowed_methods +=
        (found.allowed_methods.empty() ? "" : ", ") + std::string(route.method);
  }
  return found;
}

}  // namespace itemcrop::service
