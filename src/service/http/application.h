#pragma once

#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/awaitable.hpp>

#include "core/budget.h"
#include "service/http/message.h"

namespace itemcrop::service::http {

class BodyStream {
 public:
  virtual ~BodyStream() = default;
  virtual boost::asio::awaitable<std::optional<std::string>> next() = 0;
};

/// What a request may cost, decided from its head, before any of its body is read.
struct Admission {
  std::optional<Response> refusal;  ///< answer this and do not read the body
  std::size_t max_body_bytes = 0;   ///< 413 beyond
  std::chrono::milliseconds deadline{60'000};
  /// Grows with the bytes that arrive and is kept until the response is written. A body that finds
  /// no room is answered by Application::failed. Of nothing: the route takes no body.
  Lease body;
};

/// What became of a request, for logs and metrics.
struct Exchange {
  const Request& request;
  int status = 0;
  std::size_t bytes_in = 0;  ///< of the body
  std::size_t bytes_out = 0;
  double seconds = 0;
};

/// What a Server serves. Calls come from several threads.
class Application {
 public:
  virtual ~Application() = default;

  /// May set the request's context.
  virtual Admission admit(Request& head) = 0;
  /// Must not throw: failures are answers.
  virtual boost::asio::awaitable<Response> handle(Request& request) = 0;
  /// Answers what never became a request: 400, 408, 413, 431, 501, 503 with a reason.
  virtual Response refuse(int status, const std::string& reason, const std::string& request_id) = 0;
  /// Answers what went wrong while a body arrived.
  virtual Response failed(const std::exception_ptr& problem, const Request& request) = 0;
  virtual void finished(const Exchange& exchange) noexcept = 0;
  /// Their number changed, or one more was `refused`.
  virtual void connections(std::size_t open, bool refused) noexcept = 0;
};

}  // namespace itemcrop::service::http
