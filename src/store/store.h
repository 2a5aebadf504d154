#pragma once

#include <cstddef>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

#include "itemcrop/error.h"

namespace itemcrop::store {

/// A store that refuses what it is asked, and will until somebody changes its settings or rights.
class RefusedError : public Error {
 public:
  explicit RefusedError(const std::string& message) : Error(ErrorCode::kUnavailable, message) {}
};

/// Where crops go. Thread-safe.
class Store {
 public:
  virtual ~Store() = default;

  /// Keeps `bytes` under `key` (see check_key) and returns the public URL. Whole or not at all; the
  /// same key again replaces, so a repeated call does no harm.
  /// Throws Error: kInvalidArgument (the key), kIo (the disk), kUnavailable or kDeadlineExceeded
  /// (the service), kCancelled.
  virtual std::string put(const std::string& key, std::span<const std::byte> bytes,
                          std::string_view content_type, std::stop_token stop = {}) = 0;

  /// For readiness: throws Error, as put() would, if nothing can be kept at present.
  virtual void check(std::stop_token stop = {}) = 0;
};

}  // namespace itemcrop::store
