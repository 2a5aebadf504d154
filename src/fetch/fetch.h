#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

namespace itemcrop::fetch {

/// What messages call the limits below, where somebody sets them by other names.
struct FetchOptionNames {
  std::string max_bytes = "max_bytes";
  std::string deadline = "deadline";
  std::string max_redirects = "max_redirects";
  std::string allowed_hosts = "allowed_hosts";
  std::string allow_private = "allow_private";
};

/// Limits for URLs from untrusted callers.
struct FetchOptions {
  std::size_t max_bytes = 20'000'000;          ///< of the body; announced or real
  std::chrono::milliseconds deadline{10'000};  ///< for everything: names, redirects, the body
  int max_redirects = 3;                       ///< 0: a redirect is an error
  /// "example.com" (that host) or ".example.com" (every host below it), also on redirects.
  /// Empty: any host with a public address.
  std::vector<std::string> allowed_hosts;
  /// Empty: 80, 443 and 1024 to 65535.
  std::vector<int> allowed_ports;
  /// Loopback, private, shared and unique local addresses may be dialled as well. Link-local
  /// addresses and clouds' metadata stay refused.
  bool allow_private = false;
  /// "10.1.0.0/16": dialled as well, whatever they are; for an image store of one's own.
  std::vector<std::string> allowed_networks;
  FetchOptionNames names = {};
};

/// Downloads from URLs of untrusted callers, within limits. The address checked is the one the
/// socket is about to dial, for every attempt and redirect, so neither a name that changes its
/// address nor a redirect leads inside. No proxy, cookies, credentials or decompression.
/// Connections are kept for a while. Thread-safe.
class Fetcher {
 public:
  /// Throws Error(kInvalidArgument): a limit below 1, a malformed network.
  explicit Fetcher(FetchOptions options);
  ~Fetcher();
  Fetcher(const Fetcher&) = delete;
  Fetcher& operator=(const Fetcher&) = delete;

  /// The body of a 200 answer. Blocks.
  /// Throws Error: kInvalidArgument (the URL), kForbidden (host, port or address), kLimitExceeded
  /// (bytes), kBadImageUrl (an unknown name, a status that will not change, redirects without end),
  /// kDeadlineExceeded, kUnavailable (connection, TLS, a server that fails), kCancelled.
  std::vector<std::byte> fetch(const std::string& url, std::stop_token stop = {}) const;

  const FetchOptions& options() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// One download with a Fetcher of its own.
std::vector<std::byte> fetch(const std::string& url, const FetchOptions& options,
                             std::stop_token stop = {});

}  // namespace itemcrop::fetch
