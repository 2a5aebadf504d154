#include "service/requests/json_fields.h"

#include <algorithm>
#include <cmath>

#include "service/requests/error_reply.h"
#include "service/requests/number_text.h"

namespace itemcrop::service {

using nlohmann::json;

JsonFields::JsonFields(const json& value, std::string path)
    : value_(value), path_(std::move(path)) {
  if (!value.is_object()) {
    throw invalid_field(path_.empty() ? "the body" : path_, "must be an object");
  }
}

std::string JsonFields::path_of(std::string_view name) const {
  return path_.empty() ? std::string(name) : path_ + "." + std::string(name);
}

const json* JsonFields::find(std::string_view name) {
  known_.emplace_back(name);
  const auto found = value_.find(name);
  return found == value_.end() || found->is_null() ? nullptr : &*found;
}

std::optional<std::string> JsonFields::text(std::string_view name, std::size_t min_bytes,
                                            std::size_t max_bytes) {
  const json* value = find(name);
  if (value == nullptr) return std::nullopt;
  return text_of(*value, path_of(name), min_bytes, max_bytes);
}

std::optional<double> JsonFields::number(std::string_view name, double min, double max) {
  const json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) throw invalid_field(path_of(name), "must be a number");
  const double number = value->get<double>();
  if (!(number >= min && number <= max)) {
    throw invalid_field(path_of(name), "must be " + number_text(min) + " to " + number_text(max) +
                                           ", is " + number_text(number));
  }
  return number;
}

std::optional<std::int64_t> JsonFields::integer(std::string_view name, std::int64_t min,
                                                std::int64_t max) {
  const json* value = find(name);
  if (value == nullptr) return std::nullopt;
  const bool whole =
      value->is_number_integer() ||
      (value->is_number_float() && std::trunc(value->get<double>()) == value->get<double>());
  if (!whole) throw invalid_field(path_of(name), "must be a whole number");
  const double number = value->get<double>();
  if (!(number >= static_cast<double>(min) && number <= static_cast<double>(max))) {
    throw invalid_field(path_of(name), "must be " + std::to_string(min) + " to " +
                                           std::to_string(max) + ", is " + number_text(number));
  }
  return static_cast<std::int64_t>(number);
}

std::optional<bool> JsonFields::boolean(std::string_view name) {
  const json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) throw invalid_field(path_of(name), "must be true or false");
  return value->get<bool>();
}

const json* JsonFields::array(std::string_view name, std::size_t max_entries) {
  const json* value = find(name);
  if (value == nullptr) return nullptr;
  if (!value->is_array()) throw invalid_field(path_of(name), "must be a list, as [\"a\", \"b\"]");
  if (value->size() > max_entries) {
    throw invalid_field(path_of(name), "may have at most " + std::to_string(max_entries) +
                                           " entries, has " + std::to_string(value->size()));
  }
  return value;
}

void JsonFields::refuse_unknown() const {
  for (const auto& [name, value] : value_.items()) {
    if (std::find(known_.begin(), known_.end(), name) == known_.end()) {
      throw invalid_field(path_of(name.substr(0, 100)), "is not a field of this request");
    }
  }
}

std::string text_of(const json& value, const std::string& path, std::size_t min_bytes,
                    std::size_t max_bytes) {
  if (!value.is_string()) throw invalid_field(path, "must be a text");
  const auto& text = value.get_ref<const std::string&>();
  if (text.size() < min_bytes || text.size() > max_bytes) {
    throw invalid_field(path, "must have " + std::to_string(min_bytes) + " to " +
                                  std::to_string(max_bytes) + " bytes, has " +
                                  std::to_string(text.size()));
  }
  return text;
}

}  // namespace itemcrop::service
