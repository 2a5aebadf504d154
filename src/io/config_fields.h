#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace itemcrop::io {

/// Typed, range-checked access to one object of a configuration file. A field that is absent or
/// null has its default. Errors name the file, the dotted field, the limit and the value:
/// kCorruptModel for a wrong type or range, kUnsupportedModel from require().
class ConfigFields {
 public:
  /// `prefix` is "" or ends in '.'; `object` and `file` are borrowed.
  ConfigFields(const nlohmann::json& object, std::string_view file, std::string prefix = "");

  /// False for absent and for null.
  bool has(const char* name) const;
  /// The value, or null if absent.
  const nlohmann::json& raw(const char* name) const;

  int integer(const char* name, int fallback, int minimum, int maximum) const;
  /// A list of `minimum_size` to 16 integers.
  std::vector<int> integers(const char* name, std::vector<int> fallback, std::size_t minimum_size,
                            int minimum, int maximum) const;
  /// Finite, in [minimum, maximum].
  double number(const char* name, double fallback, double minimum, double maximum) const;
  bool boolean(const char* name, bool fallback) const;
  std::string word(const char* name, const std::string& fallback) const;
  /// The fields of an object; empty ones if it is absent.
  ConfigFields child(const char* name) const;

  /// Throws kUnsupportedModel unless `supported`.
  void require(bool supported, const char* name, const std::string& expected) const;
  /// Throws kCorruptModel: "config.json: text_config.heads must ..., not 5".
  [[noreturn]] void reject(const char* name, const std::string& expected) const;

 private:
  std::string message(const char* name, const std::string& expected) const;

  const nlohmann::json* object_;
  std::string_view file_;
  std::string prefix_;
};

}  // namespace itemcrop::io
