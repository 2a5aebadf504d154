#pragma once

#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string_view>

#include "itemcrop/error.h"

#include "fetch/http_client.h"

namespace itemcrop::fetch {

struct RetryPolicy {
  int max_tries = 6;
  std::chrono::milliseconds first_delay{100};  ///< upper end of the first pause; doubles each time
  std::chrono::milliseconds max_delay{5'000};  ///< upper end of any pause
  std::chrono::milliseconds max_retry_after{30'000};  ///< a server that asks for more ends it
  std::chrono::milliseconds total{60'000};            ///< no try starts later than this
};

/// Keeps many callers from multiplying the load of a service that is down: each retry takes a
/// token, each success gives half a token back. Thread-safe.
class RetryBudget {
 public:
  explicit RetryBudget(double capacity = 50) : capacity_(capacity), tokens_(capacity) {}
  bool take();
  void on_success();

 private:
  const double capacity_;
  std::mutex mutex_;
  double tokens_;
};

/// Time and chance, replaced in tests.
struct RetryClock {
  std::function<std::chrono::steady_clock::time_point()> now;
  /// Returns early when stop is requested.
  std::function<void(std::chrono::milliseconds, const std::stop_token&)> sleep;
  std::function<double()> random;  ///< [0, 1)
};
RetryClock system_retry_clock();

/// Decides how long to pause between the tries of one call. "Full jitter": a random share of a
/// doubling limit, so that callers that failed together do not come back together.
class RetrySchedule {
 public:
  /// `clock` and `budget` must outlive it.
  RetrySchedule(const RetryPolicy& policy, RetryBudget& budget, const RetryClock& clock);

  /// Pauses before another try. False if there should be none: tries, time or budget are used up.
  /// Throws Error(kCancelled).
  bool pause(std::optional<std::chrono::milliseconds> retry_after, const std::stop_token& stop);
  /// Tries count anew, for a call that made progress.
  void progress();

 private:
  RetryPolicy policy_;
  RetryBudget& budget_;
  const RetryClock& clock_;
  std::chrono::steady_clock::time_point end_;
  int tries_ = 1;
};

/// True for what another try may cure: 408, 429, 500, 502, 503, 504.
bool is_transient(int status) noexcept;
/// True for kUnavailable and kDeadlineExceeded.
bool is_transient(ErrorCode code) noexcept;

/// The Retry-After header, in seconds or as a date; none if it is absent or malformed.
std::optional<std::chrono::milliseconds> retry_after(std::string_view value);

/// Sends until an answer is not transient. `request.deadline` is a try's. The last failure is
/// returned or thrown as it is.
HttpResponse send_with_retries(const HttpClient& client, const HttpRequest& request,
                               const RetryPolicy& policy, RetryBudget& budget,
                               const RetryClock& clock, std::stop_token stop);

}  // namespace itemcrop::fetch
