#pragma once

#include <cstddef>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "fetch/http_message.h"

namespace itemcrop::fetch {

struct HttpClientOptions {
  std::size_t max_idle = 16;       ///< handles, each with its open connections, that are kept
  bool environment_proxy = false;  ///< http_proxy, https_proxy, all_proxy and no_proxy count
  /// libcurl's CONNECT_TO, "HOST:PORT:CONNECT-TO-HOST:CONNECT-TO-PORT": a private way to a name.
  std::vector<std::string> connect_to = {};
};

/// For endpoints that the operator named: any address, no redirects of its own. Thread-safe;
/// connections are reused.
class HttpClient {
 public:
  explicit HttpClient(HttpClientOptions options = {});
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// Any status is an answer. Blocks.
  /// Throws Error: kInvalidArgument (URL, method or header), kLimitExceeded (the response),
  /// kDeadlineExceeded, kUnavailable (name, connection, TLS), kCancelled. Messages name the host
  /// only: neither the rest of the URL nor headers.
  HttpResponse send(const HttpRequest& request, std::stop_token stop = {}) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// "https://host:8443/a?b" -> "https://host:8443"; empty if it is not an http(s) URL. Says whether
/// two URLs may share credentials.
std::string origin_of(const std::string& url);

}  // namespace itemcrop::fetch
