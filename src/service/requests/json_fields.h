#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace itemcrop::service {

/// Reads the members of a JSON object by name; whatever was not asked for is an unknown field. All
/// throw http::HttpError 422 that names the field, as in "items[2].threshold". A null is an absent
/// value.
class JsonFields {
 public:
  /// `path`: "" for the body itself, "items[2]".
  JsonFields(const nlohmann::json& value, std::string path);

  const nlohmann::json* find(std::string_view name);  ///< nullptr: absent
  std::optional<std::string> text(std::string_view name, std::size_t min_bytes,
                                  std::size_t max_bytes);
  std::optional<double> number(std::string_view name, double min, double max);
  std::optional<std::int64_t> integer(std::string_view name, std::int64_t min, std::int64_t max);
  std::optional<bool> boolean(std::string_view name);
  /// nullptr: absent. Throws unless it is an array of at most `max_entries`.
  const nlohmann::json* array(std::string_view name, std::size_t max_entries);

  /// Throws for unknown members.
  void refuse_unknown() const;

  std::string path_of(std::string_view name) const;

 private:
  const nlohmann::json& value_;
  std::string path_;
  std::vector<std::string> known_;
};

/// A JSON text's own limits, for entries of arrays.
std::string text_of(const nlohmann::json& value, const std::string& path, std::size_t min_bytes,
                    std::size_t max_bytes);

}  // namespace itemcrop::service
