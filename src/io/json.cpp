#include "io/json.h"

#include <utility>

#include "itemcrop/error.h"

namespace itemcrop::io {
namespace {

using Json = nlohmann::json;

/// Values between two looks at the stop token.
constexpr std::size_t kValuesBetweenLooks = 1024;
/// Of a key that a message quotes.
constexpr std::size_t kQuotedBytes = 200;
/// nlohmann-json's number of "a number overflows".
constexpr int kOutOfRange = 406;

/// nlohmann-json's events for a JsonBuilder. Its own callback parser looks over all members of a
/// container whenever a child ends, which takes quadratic time.
class Events {
 public:
  explicit Events(const JsonLimits& limits) : builder_(limits) {}

  bool null() { return value(nullptr); }
  bool boolean(bool is) { return value(is); }
  bool number_integer(Json::number_integer_t number) { return value(number); }
  bool number_unsigned(Json::number_unsigned_t number) { return value(number); }
  bool number_float(Json::number_float_t number, const std::string&) { return value(number); }
  bool string(std::string& text) { return value(std::move(text)); }
  bool binary(Json::binary_t&) { return false; }
  bool start_object(std::size_t) {
    builder_.begin_object();
    return true;
  }
  bool key(std::string& name) {
    builder_.key(std::move(name));
    return true;
  }
  bool start_array(std::size_t) {
    builder_.begin_array();
    return true;
  }
  bool end_object() {
    builder_.end();
    return true;
  }
  bool end_array() { return end_object(); }
  bool parse_error(std::size_t byte, const std::string&, const Json::exception& error) {
    throw JsonError(error.id == kOutOfRange ? JsonFault::kNumberRange : JsonFault::kSyntax,
                    error.what(), byte);
  }

  Json take() { return builder_.take(); }

 private:
  template <class Value>
  bool value(Value&& value) {
    builder_.value(Json(std::forward<Value>(value)));
    return true;
  }

  JsonBuilder builder_;
};

[[noreturn]] void fail(const std::string& origin, const std::string& what) {
  throw Error(ErrorCode::kCorruptModel, origin + ": " + what);
}

}  // namespace

void JsonBuilder::begin(Json container) {
  if (open_.size() >= limits_.max_depth) {
    throw JsonError(JsonFault::kDepth, "nested deeper than " + std::to_string(limits_.max_depth));
  }
  open_.push_back(&add(std::move(container)));
}

Json& JsonBuilder::add(Json value) {
  if (++values_ > limits_.max_values) {
    throw JsonError(JsonFault::kValues,
                    "holds more than " + std::to_string(limits_.max_values) + " values");
  }
  if (values_ % kValuesBetweenLooks == 0 && limits_.stop.stop_requested()) {
    throw JsonError(JsonFault::kCancelled, "reading was cancelled");
  }
  Json* place = &root_;
  if (member_ != nullptr) {
    place = std::exchange(member_, nullptr);
  } else if (!open_.empty()) {
    // Pointers into it are to its last element only, and that one is closed.
    place = &open_.back()->emplace_back();
  }
  *place = std::move(value);
  return *place;
}

void JsonBuilder::key(std::string name) {
  auto& members = open_.back()->get_ref<Json::object_t&>();
  const auto [member, is_new] = members.try_emplace(std::move(name));
  if (!is_new && limits_.unique_keys) {
    const std::string quoted = member->first.substr(0, kQuotedBytes);
    throw JsonError(JsonFault::kDuplicateKey, "key '" + quoted + "' occurs twice", 0, quoted);
  }
  member_ = &member->second;
}

Json parse_json(std::string_view text, const JsonLimits& limits) {
  Events events(limits);
  Json::sax_parse(text.begin(), text.end(), &events);
  return events.take();
}

Json parse_json_object(std::string_view text, const std::string& origin) {
  Json document;
  try {
    document = parse_json(text);
  } catch (const JsonError& error) {
    switch (error.fault()) {
      case JsonFault::kSyntax:
        fail(origin, "not valid JSON (byte " + std::to_string(error.byte()) + ")");
      case JsonFault::kNumberRange:
        fail(origin, "a number is too large for a double");
      default:
        fail(origin, error.what());
    }
  }
  if (!document.is_object()) {
    fail(origin, "not a JSON object");
  }
  return document;
}

}  // namespace itemcrop::io
