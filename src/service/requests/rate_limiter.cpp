#include "service/requests/rate_limiter.h"

#include <algorithm>
#include <cmath>

namespace itemcrop::service {

RateLimiter::Bucket& RateLimiter::refilled(const std::string& caller, Clock::time_point now) {
  auto [found, is_new] = buckets_.try_emplace(caller);
  Bucket& bucket = found->second;
  if (is_new) {
    bucket.tokens = burst_;
    bucket.age = by_age_.insert(by_age_.end(), caller);
    if (buckets_.size() > kMaxBuckets) {
      buckets_.erase(by_age_.front());
      by_age_.pop_front();
    }
  } else {
    const double passed = std::chrono::duration<double>(now - bucket.filled).count();
    bucket.tokens = std::min(burst_, bucket.tokens + std::max(0.0, passed) * rate_);
    by_age_.splice(by_age_.end(), by_age_, bucket.age);
  }
  bucket.filled = now;
  return bucket;
}

bool RateLimiter::try_take(const std::string& caller, Clock::time_point now) {
  if (rate_ <= 0) return true;
  const std::lock_guard lock(mutex_);
  Bucket& bucket = refilled(caller, now);
  if (bucket.tokens < 1) return false;
  bucket.tokens -= 1;
  return true;
}

int RateLimiter::retry_after_seconds() const noexcept {
  return rate_ > 0 ? std::max(1, static_cast<int>(std::ceil(1 / rate_))) : 1;
}

}  // namespace itemcrop::service
