#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace itemcrop {
class Lease;
}

namespace itemcrop::service::http {

using Clock = std::chrono::steady_clock;

struct Header {
  std::string name;
  std::string value;
};

/// What an application keeps with a request, from its head to its last byte.
struct Context {
  virtual ~Context() = default;
};

/// One request. Until its body was read it is a head: `body` is empty.
struct Request {
  std::string method;                                      ///< "GET"
  std::string path;                                        ///< percent-decoded, starts with '/'
  std::vector<std::pair<std::string, std::string>> query;  ///< decoded, in order
  std::vector<Header> headers;
  std::string body;
  std::optional<std::size_t> content_length;  ///< as announced; none: no body, or chunked
  bool chunked = false;
  std::string remote_address;  ///< numeric, without the port
  std::string local_address;   ///< where the client connected to, likewise
  std::string id;              ///< see `request_id`
  Clock::time_point arrived{};
  Clock::time_point deadline{};            ///< of the whole request
  std::stop_token gone;                    ///< the client left, or the server stops
  Lease* body_lease = nullptr;             ///< of the body's memory, while the request is handled
  std::shared_ptr<const Context> context;  ///< the application's own; null until it was admitted

  /// The first header of that name, in any case; empty if there is none.
  std::string_view header(std::string_view name) const noexcept;
  /// The first query value of that name.
  const std::string* query_value(std::string_view name) const noexcept;
  /// Frees the body once it is read. (Assigning an empty string keeps its memory.)
  void drop_body() { std::string().swap(body); }
};

/// A body that is made while it is written: `next` gives the next piece, none at the end. Awaited
/// one at a time; its coroutine must end soon after the request's `gone` stops.
class BodyStream;

struct Response {
  using SharedBytes = std::shared_ptr<const std::vector<std::byte>>;

  int status = 200;
  std::string content_type = "application/json";
  std::vector<Header> headers;  ///< besides Content-Type, Content-Length and Connection
  std::variant<std::string, SharedBytes, std::shared_ptr<BodyStream>> body;
  /// Of a stream, if it is known; also of the body that GET would have had, where the answer to
  /// HEAD did not make it.
  std::optional<std::size_t> content_length;
  std::shared_ptr<void> held;  ///< kept until the response is written
};

/// 96 bits that nobody can guess, as 24 hexadecimal digits.
std::string random_id();

/// What a client's X-Request-ID may be, so that logs and headers stay clean: 1 to 128 of
/// [A-Za-z0-9._-]. Anything else is replaced by a fresh random one.
std::string request_id(std::string_view wanted);

/// "a%20b" -> "a b"; none for a broken escape or a NUL. `plus`: '+' means a space (queries).
std::optional<std::string> percent_decode(std::string_view text, bool plus);

/// Splits "/path?a=b" (also in absolute form) into path and query; false if it is malformed.
bool parse_target(std::string_view target, Request& request);

}  // namespace itemcrop::service::http
