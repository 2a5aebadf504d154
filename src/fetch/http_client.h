#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace itemcrop::fetch {

using Header = std::pair<std::string, std::string>;

/// Signs a request with AWS Signature Version 4. The request should carry x-amz-content-sha256.
struct AwsCredentials {
  std::string region;
  std::string service;  ///< "s3"
  std::string access_key;
  std::string secret_key;
  std::string session_token;  ///< empty: none
};

struct HttpResponse {
  int status = 0;
  std::vector<Header> headers;
  std::string body;          ///< empty for what went to HttpRequest::on_body
  std::string redirect_url;  ///< absolute target of a redirecting answer

  /// The last value of a header, names without regard to case; empty if it is absent.
  std::string_view header(std::string_view name) const noexcept;
  bool ok() const noexcept { return status >= 200 && status < 300; }
};

struct HttpRequest {
  std::string method = "GET";
  std::string url;  ///< http or https
  std::vector<Header> headers;
  std::string body;
  std::span<const std::byte> body_view;        ///< sent instead of `body` if not empty; not copied
  std::chrono::milliseconds deadline{30'000};  ///< for the whole exchange; 0: none
  std::chrono::milliseconds stall{0};          ///< nothing received for so long; 0: no limit
  std::uint64_t max_response_bytes = 16 << 20;
  std::optional<AwsCredentials> aws;
  /// Takes the body of a 2xx answer piece by piece; `head` has status and headers. May throw.
  std::function<void(const HttpResponse& head, std::span<const std::byte> piece)> on_body;
};

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
