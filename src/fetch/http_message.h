#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
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
  std::string body;               ///< empty for what went to HttpRequest::on_body
  std::string redirect_url = {};  ///< absolute target of a redirecting answer

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

}  // namespace itemcrop::fetch
