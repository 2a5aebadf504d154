#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <mutex>
#include <string>
#include <unordered_map>

namespace itemcrop::service {

/// A token bucket for each caller, bounded in number. Thread-safe.
class RateLimiter {
 public:
  using Clock = std::chrono::steady_clock;

  /// `rate` tokens a second, at most `burst` saved up; a rate of 0 limits nothing.
  RateLimiter(double rate, double burst) : rate_(rate), burst_(burst) {}

  /// Takes one token; false if there is none.
  bool try_take(const std::string& caller, Clock::time_point now = Clock::now());
  /// Seconds until a caller without a token has one, 1 at least.
  int retry_after_seconds() const noexcept;

 private:
  struct Bucket {
    double tokens = 0;
    Clock::time_point filled;
    std::list<std::string>::iterator age;
  };
  static constexpr std::size_t kMaxBuckets = 65'536;

  /// Under the lock.
  Bucket& refilled(const std::string& caller, Clock::time_point now);

  const double rate_;
  const double burst_;
  std::mutex mutex_;
  std::list<std::string> by_age_;  // least recently seen first
  std::unordered_map<std::string, Bucket> buckets_;
};

}  // namespace itemcrop::service
