#include "service/job_processor.h"

#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <nlohmann/json.hpp>

#include "service/answers.h"
#include "service/requests/json_answer.h"

namespace itemcrop::service {
namespace {

namespace asio = boost::asio;

constexpr auto kLoadingPause = std::chrono::milliseconds(200);

/// A journal's picture as the request had it. `source` is its URL, as JSON; inline pictures come as
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
  for (std::size_t count; (count = in_hand_.load()) > 0;) in_hand_.wait(count);
}

void JobProcessor::operator()(jobs::JobImage image, std::stop_token stop,
                              jobs::Completion completion) {
  ++in_hand_;
  asio::co_spawn(parts_.pool, process(std::move(image), std::move(stop), std::move(completion)),
                 [this](const std::exception_ptr&) {
                   --in_hand_;
                   in_hand_.notify_all();
                 });
}

Awaitable<void> JobProcessor::process(jobs::JobImage image, std::stop_token stop,
                                      jobs::Completion completion) {
  CutImage result;
  result.id = image.id;
  try {
    const nlohmann::json options = nlohmann::json::parse(*image.options);
    nlohmann::json body = options.at("request");
    // The reader wants pictures; this one comes from the journal.
    body["images"] = {{{"url", "journal:"}}};
    CutRequest cut = parse_cut_request(body, RequestKind::kJob, parts_.settings);
    // After a start, jobs of the last run come before the models: that is nobody's fault.
    if (parts_.readiness.is_loading(cut.model)) {
      completion.busy(kLoadingPause);
      co_return;
    }
    Caller caller;
    caller.priority = scheduler::Priority::kJob;
    caller.gone = stop;
    caller.base_url = options.at("base_url").get<std::string>();
    const ImageSource source = source_of(image, parts_.settings);
    result = co_await parts_.cutter.cut(source, cut, caller);
  } catch (...) {
    result.error = trouble_of(std::current_exception());
  }
  std::string text;
  try {
    text = dump(image_json(result));
  } catch (...) {
    co_return;  // dropping the completion counts as a fault, and is tried again
  }
  const int status = result.error ? result.error->status : 200;
  // A full disk or a service out of reach may be well again; the picture is not to blame.
  const bool fault =
      (status >= 502 && status <= 504) || (result.error && result.error->code == "io");
  if (status == 429) {
    completion.busy(std::chrono::seconds(result.error->retry_after_seconds));
  } else if (fault) {
    completion.fault(std::move(text));
  } else {
    completion(std::move(text), result.error.has_value());
  }
}

}  // namespace itemcrop::service
