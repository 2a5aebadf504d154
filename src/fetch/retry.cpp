#include "fetch/retry.h"

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <ctime>
#include <random>
#include <string>

#include <curl/curl.h>

namespace itemcrop::fetch {
namespace {

using std::chrono::milliseconds;

void sleep_unless_stopped(milliseconds duration, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, duration, [] { return false; });
}

double random_share() {
  thread_local std::mt19937 generator{std::random_device{}()};
  return std::generate_canonical<double, 32>(generator);
}

}  // namespace

bool RetryBudget::take() {
  const std::lock_guard lock(mutex_);
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

void RetryBudget::on_success() {
  const std::lock_guard lock(mutex_);
  tokens_ = std::min(capacity_, tokens_ + 0.5);
}

RetryClock system_retry_clock() {
  return {[] { return std::chrono::steady_clock::now(); }, sleep_unless_stopped, random_share};
}

RetrySchedule::RetrySchedule(const RetryPolicy& policy, RetryBudget& budget,
                             const RetryClock& clock)
    : policy_(policy), budget_(budget), clock_(clock), end_(clock.now() + policy.total) {}

bool RetrySchedule::pause(std::optional<milliseconds> retry_after, const std::stop_token& stop) {
  if (tries_ >= policy_.max_tries) return false;
  const int doublings = std::min(tries_ - 1, 20);
  const milliseconds limit =
      std::min<milliseconds>(policy_.max_delay, policy_.first_delay * (1L << doublings));
  milliseconds delay(static_cast<long long>(static_cast<double>(limit.count()) * clock_.random()));
  if (retry_after) {
    if (*retry_after > policy_.max_retry_after) return false;
    delay = std::max(delay, *retry_after);
  }
  if (clock_.now() + delay >= end_ || !budget_.take()) return false;
  clock_.sleep(delay, stop);
  if (stop.stop_requested()) {
    throw Error(ErrorCode::kCancelled, "cancelled while waiting for another try");
  }
  ++tries_;
  return true;
}

void RetrySchedule::progress() {
  tries_ = 1;
  end_ = clock_.now() + policy_.total;
}

bool is_transient(int status) noexcept {
  return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
         status == 504;
}

bool is_transient(ErrorCode code) noexcept {
  return code == ErrorCode::kUnavailable || code == ErrorCode::kDeadlineExceeded;
}

std::optional<milliseconds> retry_after(std::string_view value) {
  if (value.empty()) return std::nullopt;
  constexpr long long kDay = 86'400;
  long long seconds = 0;
  const auto [stop, problem] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (problem == std::errc() && stop == value.data() + value.size()) {
    if (seconds < 0) return std::nullopt;
  } else {
    const std::time_t now = std::time(nullptr);
    const std::time_t then = curl_getdate(std::string(value).c_str(), nullptr);
    if (then < 0) return std::nullopt;
    seconds = std::max<long long>(0, static_cast<long long>(then) - now);
  }
  return milliseconds(1000 * std::min(seconds, kDay));
}

HttpResponse send_with_retries(const HttpClient& client, const HttpRequest& request,
                               const RetryPolicy& policy, RetryBudget& budget,
                               const RetryClock& clock, std::stop_token stop) {
  RetrySchedule schedule(policy, budget, clock);
  for (;;) {
    try {
      HttpResponse response = client.send(request, stop);
      if (!is_transient(response.status)) {
        budget.on_success();
        return response;
      }
      if (!schedule.pause(retry_after(response.header("Retry-After")), stop)) return response;
    } catch (const Error& error) {
      if (!is_transient(error.code()) || !schedule.pause(std::nullopt, stop)) throw;
    }
  }
}

}  // namespace itemcrop::fetch
