#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "itemcrop/image.h"

#include "fetch/http_message.h"
#include "taxonomy/vlm_answer.h"

namespace itemcrop::taxonomy {

/// One blocking exchange with a trusted endpoint. Throws Error: kUnavailable, kDeadlineExceeded,
/// kLimitExceeded, kCancelled. Called from the thread that calls VlmClient::list; must be
/// thread-safe. fetch::HttpClient::send fits behind it.
using Transport = std::function<fetch::HttpResponse(const fetch::HttpRequest&, std::stop_token)>;

struct VlmOptions {
  /// An OpenAI-compatible endpoint: ".../v1/chat/completions", or its base ".../v1", to which the
  /// rest is added. http or https.
  std::string url;
  std::string key;  ///< sent as a bearer token, empty: none. Never part of an error
  std::string model = "gpt-4o-mini";
  std::chrono::milliseconds deadline{20'000};      ///< of a whole list(), all tries together
  std::chrono::milliseconds try_deadline{12'000};  ///< of one try
  int tries = 3;                                   ///< at most, 1 to 10
  double retry_share = 0.1;  ///< retries earned a request, so that an outage is not multiplied
  double retry_burst = 10;   ///< retries that may be saved up
  std::chrono::milliseconds backoff{250};  ///< before the first retry; doubles, jittered
  int max_side = 768;                      ///< the image is shrunk to this many pixels, 64 to 4096
  int quality = 80;                        ///< JPEG, 1 to 100
  VlmAnswerLimits answer;
};

/// The clock and the sleep, for tests.
struct VlmTime {
  std::function<std::chrono::steady_clock::time_point()> now;
  /// Returns early when the token is stopped.
  std::function<void(std::chrono::milliseconds, std::stop_token)> sleep;
};

/// What came of asking: a list, or the reason why there is none, fit for a log and a response.
struct VlmOutcome {
  bool ok = false;
  std::vector<ListedItem> items;  ///< may be empty although ok: nothing to wear in the photo
  std::string reason;             ///< "the endpoint answered 503"; never the key, never a body
  int tries = 0;
  double seconds = 0;
};

/// Asks a vision-language model what is in a photo. Thread-safe; make one a process, so that its
/// retry budget is shared.
class VlmClient {
 public:
  /// Throws Error(kInvalidArgument) naming the option: url, tries, max_side, quality, deadlines, a
  /// key with control characters.
  VlmClient(VlmOptions options, Transport transport, VlmTime time = {});
  ~VlmClient();
  VlmClient(const VlmClient&) = delete;
  VlmClient& operator=(const VlmClient&) = delete;

  /// Blocks until there is an answer, the deadline passes or the token is stopped. `categories` are
  /// the words the model is asked to choose from. Failures of the endpoint are an outcome without
  /// ok, so that the caller falls back to plan_analysis(); throws Error(kCancelled) when stopped
  /// and Error(kInvalidArgument) for an empty image. 408, 429, 5xx, transport errors and answers
  /// that make no sense are tried again, with Retry-After honoured within the deadline.
  VlmOutcome list(const ImageView& image, const std::vector<std::string>& categories,
                  std::stop_token stop = {});

  /// The request's body, for tests and for `--vlm-url` troubleshooting; holds no key.
  std::string request_body(const ImageView& image,
                           const std::vector<std::string>& categories) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace itemcrop::taxonomy
