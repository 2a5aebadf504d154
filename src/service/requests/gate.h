#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "service/http/message.h"
#include "service/requests/settings.h"

namespace itemcrop::service {

/// Who may call: keys, browser origins, rates. Thread-safe.
class Gate {
 public:
  explicit Gate(const Settings& settings);

  /// SHA-256 of the caller's key in hexadecimal, empty if no keys are needed. Throws Failure 401
  /// (no key), 403 (a wrong one). Every key is compared in constant time.
  std::string authenticate(const http::Request& head) const;

  /// Spends one request of the caller's rate. Throws Error(kOverloaded) as Failure 429.
  void spend(const std::string& caller);

  /// Access-Control headers for the request's Origin, if it may call.
  std::vector<http::Header> cors_headers(const http::Request& head) const;

  bool needs_keys() const noexcept { return !key_digests_.empty(); }

 private:
  struct Bucket {
    double tokens = 0;
    std::chrono::steady_clock::time_point filled;
    std::list<std::string>::iterator age;
  };
  static constexpr std::size_t kMaxBuckets = 65'536;

  std::vector<std::string> key_digests_;  // 32 bytes each
  std::vector<std::string> origins_;
  bool any_origin_ = false;
  double rate_;
  double burst_;
  std::mutex mutex_;
  std::list<std::string> by_age_;  // least recently seen first
  std::unordered_map<std::string, Bucket> buckets_;
};

/// "https://a.example" of what clients reach this service by: the setting, else the Host header.
std::string base_url_of(const http::Request& request, const Settings& settings);

}  // namespace itemcrop::service
