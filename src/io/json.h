#pragma once

#include <cstddef>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace itemcrop::io {

/// What a JSON text may hold; looked at while it is read, so a refused one has cost no more memory
/// than the limits allow.
struct JsonLimits {
  std::size_t max_depth = 64;          ///< arrays and objects within each other
  std::size_t max_values = 1'000'000;  ///< arrays, objects and what they hold
  bool unique_keys = true;             ///< no key twice in an object; else the last one counts
  std::stop_token stop = {};
};

enum class JsonFault { kSyntax, kDepth, kValues, kDuplicateKey, kNumberRange, kCancelled };

class JsonError : public std::runtime_error {
 public:
  JsonError(JsonFault fault, const std::string& message, std::size_t byte = 0, std::string key = {})
      : std::runtime_error(message), fault_(fault), byte_(byte), key_(std::move(key)) {}
  JsonFault fault() const noexcept { return fault_; }
  std::size_t byte() const noexcept { return byte_; }       ///< near it; of kSyntax
  const std::string& key() const noexcept { return key_; }  ///< its start; of kDuplicateKey

 private:
  JsonFault fault_;
  std::size_t byte_;
  std::string key_;
};

/// Builds a value from a tokenizer's events within the limits. The time an event takes does not
/// depend on what was read before. Throws JsonError.
class JsonBuilder {
 public:
  explicit JsonBuilder(JsonLimits limits) : limits_(std::move(limits)) {}

  void begin_object() { begin(nlohmann::json::object()); }
  void begin_array() { begin(nlohmann::json::array()); }
  void end() { open_.pop_back(); }
  void key(std::string name);
  void value(nlohmann::json value) { add(std::move(value)); }
  nlohmann::json take() { return std::move(root_); }

 private:
  void begin(nlohmann::json container);
  nlohmann::json& add(nlohmann::json value);

  JsonLimits limits_;
  nlohmann::json root_;
  std::vector<nlohmann::json*> open_;  ///< the containers being read, outermost first
  nlohmann::json* member_ = nullptr;   ///< where the value after a key goes
  std::size_t values_ = 0;
};

/// Reads UTF-8 text strictly (RFC 8259, a byte order mark aside). Throws JsonError.
nlohmann::json parse_json(std::string_view text, const JsonLimits& limits = {});

/// The same for a model's file, which must hold an object: throws Error(kCorruptModel) that starts
/// with `origin`, a file name.
nlohmann::json parse_json_object(std::string_view text, const std::string& origin);

}  // namespace itemcrop::io
