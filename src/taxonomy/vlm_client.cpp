#include "taxonomy/vlm_client.h"

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <random>
#include <string_view>

#include <openssl/evp.h>

#include "itemcrop/error.h"

#include "core/ascii.h"
#include "image/encode.h"
#include "image/resize.h"
#include "taxonomy/vlm_request.h"

namespace itemcrop::taxonomy {
namespace {

using fetch::HttpRequest;
using fetch::HttpResponse;

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr std::string_view kPath = "/chat/completions";
/// A Retry-After beyond this is as good as never.
constexpr std::int64_t kLongestRetryAfter = 3600;

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorCode::kInvalidArgument, message);
}

bool has_control_characters(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

/// The URL to post to; see VlmOptions::url.
std::string endpoint_of(const std::string& url) {
  const std::string_view text = url;
  const std::size_t scheme = text.starts_with("https://") ? 8 : text.starts_with("http://") ? 7 : 0;
  if (scheme == 0) refuse("vlm_url must start with http:// or https://");
  if (has_control_characters(text) || text.find(' ') != std::string_view::npos) {
    refuse("vlm_url must not hold spaces or control characters");
  }
  const std::size_t query_at = std::min(text.find_first_of("?#"), text.size());
  const std::size_t path_at = std::min(text.find('/', scheme), query_at);
  const std::string_view host = text.substr(scheme, path_at - scheme);
  if (host.empty()) refuse("vlm_url must name a host");
  if (host.find('@') != std::string_view::npos) {
    refuse("vlm_url must not hold credentials; give the key in the environment");
  }
  std::string path(text.substr(path_at, query_at - path_at));
  while (path.ends_with('/')) path.pop_back();
  if (path.empty()) path = "/v1";
  if (!path.ends_with(kPath)) path += kPath;
  return std::string(text.substr(0, path_at)) + path + std::string(text.substr(query_at));
}

void check(const VlmOptions& options) {
  if (options.tries < 1 || options.tries > 10) {
    refuse("vlm_tries must be between 1 and 10, got " + std::to_string(options.tries));
  }
  if (options.max_side < 64 || options.max_side > 4096) {
    refuse("vlm_max_side must be between 64 and 4096, got " + std::to_string(options.max_side));
  }
  if (options.quality < 1 || options.quality > 100) {
    refuse("vlm_quality must be between 1 and 100, got " + std::to_string(options.quality));
  }
  if (options.deadline.count() <= 0 || options.try_deadline.count() <= 0) {
    refuse("vlm deadlines must be positive");
  }
  if (!(options.retry_share >= 0) || !(options.retry_burst >= 0)) {
    refuse("vlm_retry_share and vlm_retry_burst must not be negative");
  }
  if (has_control_characters(options.key)) {
    refuse("the VLM's key must not hold control characters");
  }
}

std::string data_url(const ImageView& image, const VlmOptions& options) {
  const image::Image small = image::shrink_to_fit(image, options.max_side);
  image::EncodeOptions encode;
  encode.quality = options.quality;
  const std::vector<std::byte> jpeg = image::encode(small.view(), image::Format::kJpeg, encode);
  std::string text(4 * ((jpeg.size() + 2) / 3) + 1, '\0');  // OpenSSL ends it with a zero
  const int written = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                      reinterpret_cast<const unsigned char*>(jpeg.data()),
                                      static_cast<int>(jpeg.size()));
  text.resize(static_cast<std::size_t>(written));
  return "data:image/jpeg;base64," + text;
}

/// Retry-After in seconds; its form as a date is left alone.
milliseconds retry_after(const HttpResponse& response) {
  for (const auto& [name, value] : response.headers) {
    if (!same_word(name, "retry-after")) continue;
    std::int64_t seconds = 0;
    const auto [end, problem] = std::from_chars(value.data(), value.data() + value.size(), seconds);
    if (problem == std::errc() && end == value.data() + value.size() && seconds >= 0) {
      return std::chrono::seconds(std::min(seconds, kLongestRetryAfter));
    }
  }
  return milliseconds(0);
}

bool worth_another_try(int status) {
  return status == 408 || status == 409 || status == 425 || status == 429 || status >= 500;
}

/// Sleeps that a stop request ends.
void interruptible_sleep(milliseconds duration, std::stop_token stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, stop, duration, [] { return false; });
}

/// What one try came to.
struct Try {
  std::optional<std::vector<ListedItem>> items;
  std::string reason;
  bool again = false;
  bool plainer = false;  // again, without the fields that not every server knows
  milliseconds wait{0};  // asked for by the endpoint
};

}  // namespace

struct VlmClient::State {
  /// Retries that all calls share: each call earns a part of one, so that when the endpoint is down
  /// its load does not multiply.
  class RetryBudget {
   public:
    RetryBudget(double share, double burst) : share_(share), burst_(burst), saved_(burst) {}

    void earn() {
      const std::lock_guard lock(mutex_);
      saved_ = std::min(saved_ + share_, burst_);
    }

    bool spend() {
      const std::lock_guard lock(mutex_);
      if (saved_ < 1) return false;
      saved_ -= 1;
      return true;
    }

   private:
    const double share_;
    const double burst_;
    std::mutex mutex_;
    double saved_;
  };

  State(VlmOptions given, Transport sender, VlmTime clock)
      : options(std::move(given)),
        transport(std::move(sender)),
        time(std::move(clock)),
        budget(options.retry_share, options.retry_burst) {
    check(options);
    url = endpoint_of(options.url);
    if (!transport) refuse("a VLM client needs a transport");
    if (!time.now) time.now = [] { return Clock::now(); };
    if (!time.sleep) time.sleep = interruptible_sleep;
  }

  HttpRequest request_for(std::string body, milliseconds deadline) const {
    HttpRequest request;
    request.method = "POST";
    request.url = url;
    request.headers = {{"Content-Type", "application/json"}, {"Accept", "application/json"}};
    if (!options.key.empty())
      request.headers.emplace_back("Authorization", "Bearer " + options.key);
    request.body = std::move(body);
    request.deadline = deadline;
    request.max_response_bytes = options.answer.body_bytes;
    return request;
  }

  /// Reasons are worded here: a transport's message could quote what must not be shown.
  Try failed(ErrorCode code, milliseconds deadline) const {
    Try result;
    result.again = true;
    if (code == ErrorCode::kDeadlineExceeded) {
      result.reason =
          "the endpoint did not answer within " + std::to_string(deadline.count()) + " ms";
    } else if (code == ErrorCode::kLimitExceeded) {
      result.reason = "the endpoint's answer was longer than " +
                      std::to_string(options.answer.body_bytes) + " bytes";
      result.again = false;
    } else {
      result.reason = "the endpoint could not be reached";
      result.again = code != ErrorCode::kForbidden && code != ErrorCode::kInvalidArgument;
    }
    return result;
  }

  Try attempt(const std::string& body, milliseconds deadline, const std::stop_token& stop) const {
    HttpResponse response;
    try {
      response = transport(request_for(body, deadline), stop);
    } catch (const Error& error) {
      if (stop.stop_requested()) throw Error(ErrorCode::kCancelled, "the analysis was cancelled");
      return failed(error.code(), deadline);
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception&) {
      return failed(ErrorCode::kUnavailable, deadline);
    }
    Try result;
    if (response.status != 200) {
      result.reason = "the endpoint answered " + std::to_string(response.status);
      result.again = worth_another_try(response.status);
      result.plainer = response.status == 400 || response.status == 422;
      result.wait = retry_after(response);
      return result;
    }
    try {
      result.items = parse_vlm_answer(response.body, options.answer);
    } catch (const Error& error) {
      result.reason = error.what();
      result.again = true;
    }
    return result;
  }

  /// The pause before the next try: doubling, half of it random, so that clients do not march in
  /// step.
  milliseconds pause_after(int tries, milliseconds asked) {
    const std::lock_guard lock(random_mutex);
    const double full =
        static_cast<double>(options.backoff.count()) * static_cast<double>(1 << (tries - 1));
    std::uniform_real_distribution<double> jitter(0.5, 1.0);
    return std::max(asked, milliseconds(static_cast<std::int64_t>(full * jitter(random))));
  }

  std::string body(const ImageView& image, const std::vector<std::string>& categories) const {
    VlmRequest request;
    request.model = options.model;
    request.categories = categories;
    request.image_url = data_url(image, options);
    return vlm_request_body(request);
  }

  const VlmOptions options;
  const Transport transport;
  VlmTime time;
  std::string url;
  RetryBudget budget;
  std::mutex random_mutex;
  std::minstd_rand random{std::random_device{}()};
};

VlmClient::VlmClient(VlmOptions options, Transport transport, VlmTime time)
    : state_(std::make_unique<State>(std::move(options), std::move(transport), std::move(time))) {}

VlmClient::~VlmClient() = default;

VlmOutcome VlmClient::list(const ImageView& image, const std::vector<std::string>& categories,
                           std::stop_token stop) {
  State& s = *state_;
  const Clock::time_point start = s.time.now();
  const auto passed = [&] {
    return std::chrono::duration_cast<milliseconds>(s.time.now() - start);
  };
  const auto check_stop = [&] {
    if (stop.stop_requested()) throw Error(ErrorCode::kCancelled, "the analysis was cancelled");
  };
  VlmOutcome outcome;
  VlmRequest request;
  request.model = s.options.model;
  request.categories = categories;
  request.image_url = data_url(image, s.options);
  std::string body = vlm_request_body(request);
  s.budget.earn();
  while (true) {
    check_stop();
    const milliseconds left = s.options.deadline - passed();
    if (left.count() <= 0) {
      if (outcome.reason.empty()) outcome.reason = "no time was left to ask";
      break;
    }
    ++outcome.tries;
    Try result = s.attempt(body, std::min(left, s.options.try_deadline), stop);
    if (result.items) {
      outcome.ok = true;
      outcome.items = std::move(*result.items);
      outcome.reason.clear();
      break;
    }
    outcome.reason = result.reason;
    const bool plainer = result.plainer && !request.plain;
    if ((!result.again && !plainer) || outcome.tries >= s.options.tries) break;
    if (!s.budget.spend()) {
      outcome.reason += "; no retries are left";
      break;
    }
    if (plainer) {
      request.plain = true;
      body = vlm_request_body(request);
      continue;
    }
    const milliseconds pause = s.pause_after(outcome.tries, result.wait);
    if (passed() + pause >= s.options.deadline) break;
    s.time.sleep(pause, stop);
  }
  outcome.seconds = std::chrono::duration<double>(s.time.now() - start).count();
  return outcome;
}

std::string VlmClient::request_body(const ImageView& image,
                                    const std::vector<std::string>& categories) const {
  return state_->body(image, categories);
}

}  // namespace itemcrop::taxonomy
