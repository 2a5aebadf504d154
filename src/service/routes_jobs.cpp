#include <charconv>
#include <optional>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "service/answers.h"
#include "service/json_answer.h"
#include "service/json_fields.h"
#include "service/service.h"

namespace itemcrop::service {
namespace {

namespace asio = boost::asio;
using Json = nlohmann::ordered_json;

constexpr std::int64_t kEventsAtATime = 100;
/// Proxies cut connections that are silent for long.
constexpr auto kHeartbeat = std::chrono::seconds(15);
constexpr auto kLoadingPause = std::chrono::milliseconds(200);

Json job_json(const jobs::JobInfo& job) {
  const std::string self = "/v1/jobs/" + job.id;
  return {{"id", job.id},         {"status", to_string(job.status)},
          {"total", job.total},   {"done", job.done},
          {"failed", job.failed}, {"links", {{"self", self}, {"events", self + "/events"}}}};
}

std::int64_t query_number(const http::Request& request, std::string_view name,
                          std::int64_t fallback, std::int64_t min, std::int64_t max) {
  const std::string* text = request.query_value(name);
  if (text == nullptr) return fallback;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size() || value < min || value > max) {
    throw bad_field(std::string(name), "must be a whole number from " + std::to_string(min) +
                                           " to " + std::to_string(max));
  }
  return value;
}

/// A journal's picture as the request had it. `source` is its URL, as JSON; inline pictures come as
/// bytes.
ImageSource source_of(const jobs::JobImage& image, const Settings& settings) {
  if (image.bytes.empty()) {
    return parse_image_source(nlohmann::json::parse(image.source), "image", image.id, settings);
  }
  const auto* begin = reinterpret_cast<const std::byte*>(image.bytes.data());
  return {image.id, std::make_shared<const Bytes>(begin, begin + image.bytes.size())};
}

std::string event(std::int64_t id, std::string_view name, const std::string& data) {
  return "id: " + std::to_string(id) + "\nevent: " + std::string(name) + "\ndata: " + data + "\n\n";
}

/// The events of one job, from its journal; woken by its commits.
class JobEvents : public http::EventSource, public std::enable_shared_from_this<JobEvents> {
 public:
  JobEvents(std::shared_ptr<jobs::JobStore> store, asio::thread_pool& pool, std::string job,
            std::int64_t after, std::stop_token gone, std::stop_token draining)
      : store_(std::move(store)),
        pool_(pool),
        job_(std::move(job)),
        after_(after),
        gone_(std::move(gone)),
        draining_(std::move(draining)) {}

  asio::awaitable<std::optional<std::string>> next() override {
    if (ended_ || over()) co_return std::nullopt;
    if (!timer_) {
      timer_.emplace(co_await asio::this_coro::executor);
      const auto wake = [weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->wake();
      };
      subscription_ = store_->subscribe(job_, wake);
      on_gone_.emplace(gone_, wake);
      on_draining_.emplace(draining_, wake);
    }
    for (;;) {
      changed_ = false;
      jobs::EventsPage page;
      co_await run_blocking(pool_, [&] { page = store_->events(job_, after_, kEventsAtATime); });
      if (!page.events.empty() || page.complete) co_return text_of(page);
      if (over()) co_return std::nullopt;
      timer_->expires_after(kHeartbeat);
      if (!changed_) co_await timer_->async_wait(asio::as_tuple(asio::use_awaitable));
      if (over()) co_return std::nullopt;
      if (!changed_) co_return ": still here\n\n";
    }
  }

 private:
  /// The client left, or the service stops: it may come back and go on from its last event.
  bool over() const { return gone_.stop_requested() || draining_.stop_requested(); }

  /// On any thread.
  void wake() {
    asio::post(timer_->get_executor(), [self = shared_from_this()] {
      self->changed_ = true;
      self->timer_->cancel();
    });
  }

  std::string text_of(const jobs::EventsPage& page) {
    std::string text;
    for (const jobs::JobEvent& each : page.events) {
      after_ = each.sequence;
      text += event(each.sequence, "result", each.image.result);
      text +=
          event(each.sequence, "progress",
                dump({{"done", each.done}, {"failed", each.failed}, {"total", page.job.total}}));
    }
    if (page.complete) {
      text += event(page.job.last_event + 1, "done", dump(job_json(page.job)));
      ended_ = true;
    }
    return text;
  }

  std::shared_ptr<jobs::JobStore> store_;
  asio::thread_pool& pool_;
  const std::string job_;
  std::int64_t after_;
  std::stop_token gone_;
  std::stop_token draining_;
  std::optional<asio::steady_timer> timer_;
  bool changed_ = false;  // on the connection's strand
  bool ended_ = false;
  jobs::Subscription subscription_;
  std::optional<std::stop_callback<std::function<void()>>> on_gone_;
  std::optional<std::stop_callback<std::function<void()>>> on_draining_;
};

}  // namespace

Service::Reply Service::create_job(http::Request& request, const std::string&) {
  jobs::JobInfo job;
  co_await run_blocking(fetch_pool_, [&] {
    refuse_query(request);
    nlohmann::json body = parse_json(request.body, settings_.max_json_depth);
    const CutRequest cut = parse_cut_request(body, RequestKind::kJob, settings_);
    if (!cut.model.empty()) check_model(cut.model);
    jobs::NewJob made;
    made.owner = gate_.authenticate(request);
    for (const ImageSource& image : cut.images) {
      jobs::NewImage entry;
      entry.id = image.id;
      if (const auto* url = std::get_if<std::string>(&image.from)) {
        entry.source = dump({{"id", image.id}, {"url", *url}});
      } else {
        const Bytes& bytes = *std::get<std::shared_ptr<const Bytes>>(image.from);
        entry.bytes.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      }
      made.images.push_back(std::move(entry));
    }
    body.erase("images");
    made.options =
        nlohmann::json{{"request", std::move(body)}, {"base_url", base_url_of(request, settings_)}}
            .dump();
    job = job_store_->create(made);
  });
  co_return json_response(job_json(job), 202);
}

jobs::JobInfo Service::find_job(const std::string& id, const http::Request& request) {
  const auto job = job_store_->find(id);
  // Somebody else's job looks like none.
  if (!job || job->owner != gate_.authenticate(request)) {
    throw Failure(404, ErrorCode::kNotFound, "there is no such job (any more)");
  }
  return *job;
}

Service::Reply Service::show_job(http::Request& request, const std::string& id) {
  const std::int64_t offset = query_number(request, "offset", 0, 0, 1'000'000'000);
  const std::int64_t limit = query_number(request, "limit", 100, 1, 1000);
  Json answer;
  co_await run_blocking(fetch_pool_, [&] {
    find_job(id, request);
    const jobs::ResultsPage page = job_store_->results(id, offset, limit);
    answer = job_json(page.job);
    answer["results"] = Json::array();
    for (const jobs::ImageResult& image : page.images) {
      if (!image.result.empty()) answer["results"].push_back(Json::parse(image.result));
    }
  });
  co_return json_response(answer);
}

Service::Reply Service::cancel_job(http::Request& request, const std::string& id) {
  jobs::JobInfo job;
  co_await run_blocking(fetch_pool_, [&] {
    find_job(id, request);
    job = job_runner_->cancel(id);
  });
  co_return json_response(job_json(job));
}

Service::Reply Service::job_events(http::Request& request, const std::string& id) {
  co_await run_blocking(fetch_pool_, [&] { find_job(id, request); });
  std::int64_t after = 0;
  const std::string_view last = request.header("Last-Event-ID");
  std::from_chars(last.data(), last.data() + last.size(), after);
  http::Response response;
  response.content_type = "text/event-stream";
  response.headers = {{"X-Accel-Buffering", "no"}};
  response.body = std::shared_ptr<http::EventSource>(std::make_shared<JobEvents>(
      job_store_, fetch_pool_, id, after, request.gone, streams_.get_token()));
  co_return response;
}

void Service::run_job_image(jobs::JobImage image, std::stop_token stop,
                            jobs::Completion completion) {
  ++job_images_in_hand_;
  asio::co_spawn(work_pool_,
                 run_job_image_async(std::move(image), std::move(stop), std::move(completion)),
                 [this](const std::exception_ptr&) {
                   --job_images_in_hand_;
                   job_images_in_hand_.notify_all();
                 });
}

Awaitable<void> Service::run_job_image_async(jobs::JobImage image, std::stop_token stop,
                                             jobs::Completion completion) {
  CutImage result;
  result.id = image.id;
  try {
    const nlohmann::json options = nlohmann::json::parse(*image.options);
    nlohmann::json body = options.at("request");
    // The reader wants pictures; this one comes from the journal.
    body["images"] = {{{"url", "journal:"}}};
    CutRequest cut = parse_cut_request(body, RequestKind::kJob, settings_);
    // After a start, jobs of the last run come before the models: that is nobody's fault.
    if (is_loading(cut.model)) {
      completion.busy(kLoadingPause);
      co_return;
    }
    Caller caller;
    caller.priority = scheduler::Priority::kJob;
    caller.gone = stop;
    caller.base_url = options.at("base_url").get<std::string>();
    const ImageSource source = source_of(image, settings_);
    result = co_await cutter_->cut(source, cut, caller);
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
