#include "io/config_fields.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <sstream>

#include "itemcrop/error.h"

namespace itemcrop::io {
namespace {

constexpr std::size_t kMaxListSize = 16;
constexpr std::size_t kMaxShownBytes = 80;

const nlohmann::json& null_value() {
  static const nlohmann::json value;
  return value;
}

const nlohmann::json& empty_object() {
  static const nlohmann::json value = nlohmann::json::object();
  return value;
}

std::optional<int> as_int(const nlohmann::json& value, int minimum, int maximum) {
  if (!value.is_number_integer()) {
    return std::nullopt;
  }
  // Unsigned values above the signed range would wrap when read as signed.
  if (value.is_number_unsigned() &&
      value.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<int>::max())) {
    return std::nullopt;
  }
  const auto number = value.get<std::int64_t>();
  if (number < minimum || number > maximum) {
    return std::nullopt;
  }
  return static_cast<int>(number);
}

std::string range(int minimum, int maximum) {
  return std::to_string(minimum) + " to " + std::to_string(maximum);
}

}  // namespace

ConfigFields::ConfigFields(const nlohmann::json& object, std::string_view file, std::string prefix)
    : object_(&object), file_(file), prefix_(std::move(prefix)) {}

const nlohmann::json& ConfigFields::raw(const char* name) const {
  const auto found = object_->find(name);
  return found == object_->end() ? null_value() : *found;
}

bool ConfigFields::has(const char* name) const { return !raw(name).is_null(); }

int ConfigFields::integer(const char* name, int fallback, int minimum, int maximum) const {
  if (!has(name)) {
    return fallback;
  }
  const std::optional<int> value = as_int(raw(name), minimum, maximum);
  if (!value) {
    reject(name, "an integer from " + range(minimum, maximum));
  }
  return *value;
}

std::vector<int> ConfigFields::integers(const char* name, std::vector<int> fallback,
                                        std::size_t minimum_size, int minimum, int maximum) const {
  if (!has(name)) {
    return fallback;
  }
  const auto fail = [&] {
    reject(name, "a list of " + std::to_string(minimum_size) + " to " +
                     std::to_string(kMaxListSize) + " integers from " + range(minimum, maximum));
  };
  const nlohmann::json& list = raw(name);
  if (!list.is_array() || list.size() < minimum_size || list.size() > kMaxListSize) {
    fail();
  }
  std::vector<int> values;
  for (const nlohmann::json& element : list) {
    const std::optional<int> value = as_int(element, minimum, maximum);
    if (!value) {
      fail();
    }
    values.push_back(*value);
  }
  return values;
}

double ConfigFields::number(const char* name, double fallback, double minimum,
                            double maximum) const {
  if (!has(name)) {
    return fallback;
  }
  const nlohmann::json& value = raw(name);
  const double number = value.is_number() ? value.get<double>() : std::nan("");
  if (!(number >= minimum && number <= maximum)) {
    std::ostringstream expected;
    expected << "a number from " << minimum << " to " << maximum;
    reject(name, expected.str());
  }
  return number;
}

bool ConfigFields::boolean(const char* name, bool fallback) const {
  if (!has(name)) {
    return fallback;
  }
  if (!raw(name).is_boolean()) {
    reject(name, "true or false");
  }
  return raw(name).get<bool>();
}

std::string ConfigFields::word(const char* name, const std::string& fallback) const {
  if (!has(name)) {
    return fallback;
  }
  if (!raw(name).is_string()) {
    reject(name, "a string");
  }
  return raw(name).get<std::string>();
}

ConfigFields ConfigFields::child(const char* name) const {
  std::string prefix = prefix_ + name + ".";
  if (!has(name)) {
    return {empty_object(), file_, std::move(prefix)};
  }
  if (!raw(name).is_object()) {
    reject(name, "an object");
  }
  return {raw(name), file_, std::move(prefix)};
}

void ConfigFields::require(bool supported, const char* name, const std::string& expected) const {
  if (!supported) {
    throw Error(ErrorCode::kUnsupportedModel,
                message(name, expected) + "; this engine runs nothing else");
  }
}

void ConfigFields::reject(const char* name, const std::string& expected) const {
  throw Error(ErrorCode::kCorruptModel, message(name, expected));
}

std::string ConfigFields::message(const char* name, const std::string& expected) const {
  std::string shown = has(name) ? raw(name).dump() : "absent";
  if (shown.size() > kMaxShownBytes) {
    // Cut before a UTF-8 sequence, not inside it.
    std::size_t cut = kMaxShownBytes;
    while (cut > 0 && (static_cast<unsigned char>(shown[cut]) & 0xC0U) == 0x80U) {
      --cut;
    }
    shown = shown.substr(0, cut) + "...";
  }
  return std::string(file_) + ": " + prefix_ + name + " must be " + expected + ", not " + shown;
}

}  // namespace itemcrop::io
