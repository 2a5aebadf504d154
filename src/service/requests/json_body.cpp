#include "service/requests/json_body.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <functional>
#include <string>
#include <system_error>
#include <utility>

// Boost.JSON's tokenizer, whose few functions that are not templates are compiled here.
#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/src.hpp>

#include "io/json.h"
#include "service/requests/error_reply.h"

namespace itemcrop::service {
namespace {

using nlohmann::json;
namespace bjson = boost::json;

/// Bytes between two looks at the stop token: a few milliseconds.
constexpr std::size_t kPieceBytes = 4 << 20;
/// Digits of a number; a double needs no more than 800 to be told from its neighbours.
constexpr std::size_t kMaxNumberBytes = 1000;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

/// Boost.JSON's events for a JsonBuilder. It is tens of times faster on long texts than
/// nlohmann-json's tokenizer, which copies every byte twice.
class Events {
 public:
  static constexpr std::size_t max_array_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_object_size = max_array_size;
  static constexpr std::size_t max_string_size = max_array_size;
  static constexpr std::size_t max_key_size = max_array_size;

  using error_code = bjson::error_code;
  using string_view = bjson::string_view;

  Events(std::string_view input, const io::JsonLimits& limits) : input_(input), builder_(limits) {}

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }
  bool on_object_begin(error_code&) {
    builder_.begin_object();
    return true;
  }
  bool on_array_begin(error_code&) {
    builder_.begin_array();
    return true;
  }
  bool on_object_end(std::size_t, error_code&) {
    builder_.end();
    return true;
  }
  bool on_array_end(std::size_t, error_code&) {
    builder_.end();
    return true;
  }
  bool on_key_part(string_view part, std::size_t, error_code&) { return append(part); }
  bool on_key(string_view part, std::size_t, error_code&) {
    builder_.key(complete(part));
    return true;
  }
  bool on_string_part(string_view part, std::size_t, error_code&) { return append(part); }
  bool on_string(string_view part, std::size_t, error_code&) { return value(complete(part)); }
  bool on_number_part(string_view part, error_code&) {
    if (text_.size() + part.size() > kMaxNumberBytes) fail_number();
    text_.append(part);
    return true;
  }
  bool on_int64(std::int64_t number, string_view, error_code&) {
    text_.clear();
    return value(number);
  }
  bool on_uint64(std::uint64_t number, string_view, error_code&) {
    text_.clear();
    return value(number);
  }
  bool on_double(double nearly, string_view rest, error_code& error) {
    on_number_part(rest, error);
    // Boost 1.81 rounds doubles twice.
    double number = 0;
    const auto [end, fault] = std::from_chars(text_.data(), text_.data() + text_.size(), number);
    text_.clear();
    if (fault == std::errc::result_out_of_range) {
      if (std::fabs(nearly) >= 1) fail_number();
      number = 0;
    }
    return value(number);
  }
  bool on_bool(bool is, error_code&) { return value(is); }
  bool on_null(error_code&) { return value(nullptr); }
  bool on_comment_part(string_view, error_code&) { return false; }
  bool on_comment(string_view, error_code&) { return false; }

  json take() { return builder_.take(); }

 private:
  [[noreturn]] static void fail_number() {
    throw io::JsonError(io::JsonFault::kNumberRange, "a number is out of range");
  }

  template <class Value>
  bool value(Value&& value) {
    builder_.value(json(std::forward<Value>(value)));
    return true;
  }

  bool append(string_view part) {
    // What comes in parts is longer than a piece, or has escapes. Room for the rest of the former
    // is made once instead of doubled, as far as it can be seen.
    const std::less<> before;
    const bool in_place =
        !before(part.data(), input_.data()) && before(part.data(), input_.data() + input_.size());
    if (in_place && text_.size() + part.size() > text_.capacity()) {
      const auto from = static_cast<std::size_t>(part.data() - input_.data());
      const std::size_t quote = std::min(input_.find('"', from), input_.size());
      text_.reserve(text_.size() + std::max(part.size(), quote - from));
    }
    text_.append(part);
    return true;
  }

  std::string complete(string_view part) {
    if (text_.empty()) return std::string(part);
    text_.append(part);
    return std::exchange(text_, {});
  }

  std::string_view input_;
  io::JsonBuilder builder_;
  std::string text_;  ///< what came of a text or a number so far
};

json tokenize(std::string_view text, const io::JsonLimits& limits) {
  bjson::parse_options options;
  options.max_depth = limits.max_depth + 1;  // the builder's limit comes first
  bjson::basic_parser<Events> parser(options, text, limits);
  bjson::error_code error;
  std::size_t read = 0;
  do {
    if (limits.stop.stop_requested()) {
      throw io::JsonError(io::JsonFault::kCancelled, "reading was cancelled");
    }
    const std::string_view piece = text.substr(read, kPieceBytes);
    const std::size_t taken =
        parser.write_some(read + piece.size() < text.size(), piece.data(), piece.size(), error);
    read += taken;
    if (!error && taken < piece.size()) error = bjson::error::extra_data;
    if (error == bjson::error::exponent_overflow) {
      throw io::JsonError(io::JsonFault::kNumberRange, "a number is out of range", read);
    }
    if (error) throw io::JsonError(io::JsonFault::kSyntax, error.message(), read);
  } while (read < text.size());
  return parser.handler().take();
}

http::HttpError bad_json(const std::string& problem, const std::string& field = {}) {
  return {400, ErrorCode::kInvalidArgument, problem, field};
}

}  // namespace

json parse_json(std::string_view text, const Settings& settings, const std::stop_token& stop) {
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  const io::JsonLimits limits{.max_depth = static_cast<std::size_t>(settings.max_json_depth),
                              .max_values = static_cast<std::size_t>(settings.max_json_values),
                              .unique_keys = true,
                              .stop = stop};
  try {
    return tokenize(text, limits);
  } catch (const io::JsonError& error) {
    switch (error.fault()) {
      case io::JsonFault::kDepth:
        throw bad_json("the JSON body is nested deeper than max_json_depth = " +
                       std::to_string(settings.max_json_depth));
      case io::JsonFault::kValues:
        throw http::HttpError(413, ErrorCode::kLimitExceeded,
                              "the JSON body holds more than max_json_values = " +
                                  std::to_string(settings.max_json_values) + " values");
      case io::JsonFault::kDuplicateKey:
        throw bad_json("'" + error.key() + "' is given more than once", error.key());
      case io::JsonFault::kNumberRange:
        throw bad_json("the body holds a number out of range");
      case io::JsonFault::kCancelled:
        throw Error(ErrorCode::kCancelled, "the request was cancelled");
      case io::JsonFault::kSyntax:
        break;
    }
    throw bad_json("the body is not JSON (near byte " + std::to_string(error.byte()) + ")");
  }
}

ParsingRoom::ParsingRoom(const http::Request& request, const Settings& settings)
    : lease_(request.body_lease) {
  if (lease_ == nullptr) return;
  // A value takes two bytes of text at least: "0,".
  const auto values = static_cast<std::int64_t>(request.body.size() / 2 + 1);
  const std::int64_t bytes = std::min(values, settings.max_json_values) * kJsonBytesPerValue;
  lease_->grow(bytes);
  bytes_ = bytes;
}

ParsingRoom::~ParsingRoom() {
  if (lease_ != nullptr) lease_->shrink(bytes_);
}

}  // namespace itemcrop::service
