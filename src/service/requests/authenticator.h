#pragma once

#include <string>
#include <vector>

#include "service/http/message.h"
#include "service/requests/rate_limiter.h"
#include "service/requests/settings.h"

namespace itemcrop::service {

/// Knows callers by their keys. Thread-safe.
class Authenticator {
 public:
  explicit Authenticator(const Settings& settings);

  /// SHA-256 of the caller's key in hexadecimal, empty if no keys are needed. Throws HttpError 401
  /// (no key), Error kForbidden (a wrong one) and kOverloaded (a wrong one after too many from this
  /// address). Every key is compared in constant time.
  std::string authenticate(const http::Request& head, const std::string& address);

 private:
  std::vector<std::string> key_digests_;  // 32 bytes each
  RateLimiter wrong_keys_;                // a token is a wrong key that is answered as such
};

}  // namespace itemcrop::service
