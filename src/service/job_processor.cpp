#include "service/job_processor.h"

#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <nlohmann/json.hpp>

#include "crop/json.h"
#include "service/requests/json_answer.h"
#include "service/results.h"

namespace itemcrop::service {
namespace {

namespace asio = boost::asio;

constexpr auto kLoadingPause = std::chrono::milliseconds(200);

/// A journal's image as the request had it. `source` is its URL, as JSON; inline images come as
/// bytes.
ImageSource source_of(const jobs::JobImage& image, const Settings& settings) {
  if (image.bytes.empty()) {
    return parse_image_source(nlohmann::json::parse(image.source), "image", image.id, settings);
  }
  const auto* begin = reinterpret_cast<const std::byte*>(image.bytes.data());
  return {image.id, std::make_shared<const Bytes>(begin, begin + image.bytes.size())};
}

}  // namespace

JobProcessor::~JobProcessor() {
  // An image that was cancelled still goes from pool to pool until it notices.
  for (std::size_t count = in_hand_; count > 0; count = in_hand_) in_hand_.wait(count);
}

void JobProcessor::operator()(jobs::JobImage image, std::stop_token stop,
                              jobs::Completion completion) {
  ++in_hand_;
  asio::co_spawn(parts_.pools.work.threads(),
                 process(std::move(image), std::move(stop), std::move(completion)),
                 [this](const std::exception_ptr&) {
                   --in_hand_;
                   in_hand_.notify_all();
                 });
}

Awaitable<RequestResults> JobProcessor::results_of(const jobs::JobImage& image,
                                                   const CropRequest& wanted,
                                                   const std::string& base_url,
                                                   std::stop_token stop) {
  Caller caller;
  caller.name = image.owner.empty() ? "jobs" : image.owner;  // without keys all are one caller's
  caller.priority = scheduler::Priority::kJob;
  caller.stop = std::move(stop);
  caller.base_url = base_url;
  const ImageSource source = source_of(image, parts_.settings);
  const ImageTask task = parts_.runner.task_of(wanted);
  crop::CropQuota quota(crop_limits(parts_.settings),
                        parts_.budgets.response_bytes.take(1, caller.name));
  RequestResults results;
  results.images.push_back(co_await parts_.pipeline.process(source, task, quota, caller));
  results.lease = quota.take_lease();
  results.lease.resize(response_bytes(results.images));
  co_return results;
}

Awaitable<void> JobProcessor::process(jobs::JobImage image, std::stop_token stop,
                                      jobs::Completion completion) {
  crop::ImageResult result;
  result.id = image.id;
  Lease lease;  // until the text is in the journal
  try {
    const nlohmann::json options = nlohmann::json::parse(*image.options);
    const CropRequest wanted =
        parse_crop_options(options.at("request"), RequestKind::kJob, parts_.settings);
    // After a start, jobs of the last run come before the models: not an error.
    if (parts_.readiness.is_loading(wanted.model)) {
      completion.busy(kLoadingPause);
      co_return;
    }
    RequestResults results =
        co_await results_of(image, wanted, options.at("base_url").get<std::string>(), stop);
    result = std::move(results.images.front());
    lease = std::move(results.lease);
  } catch (...) {
    result.error = error_of(std::current_exception());
  }
  std::string text;
  try {
    text = dump(crop::image_json(result));
  } catch (...) {
    co_return;  // dropping the completion counts as a fault, and is tried again
  }
  if (result.error) {
    completion.failed(*result.error, std::move(text));
  } else {
    completion(std::move(text), false);
  }
}

}  // namespace itemcrop::service
