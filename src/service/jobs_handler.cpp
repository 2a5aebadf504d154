#include "service/jobs_handler.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "itemcrop/version.h"

#include "crop/json.h"
#include "crop/result.h"
#include "service/http/application.h"
#include "service/requests/crop_request.h"
#include "service/requests/error_reply.h"
#include "service/requests/json_answer.h"
#include "service/requests/json_body.h"
#include "service/requests/json_fields.h"

namespace itemcrop::service {
namespace {

namespace asio = boost::asio;
using Json = nlohmann::ordered_json;

/// A result may hold crops, and then one is read at a time; small ones come in larger pages.
constexpr std::int64_t kMaxEventsAtATime = 64;
constexpr std::size_t kSmallPage = 64 * 1024;
/// Proxies cut connections that are silent for long.
constexpr auto kHeartbeat = std::chrono::seconds(15);

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
    throw invalid_field(std::string(name), "must be a whole number from " + std::to_string(min) +
                                               " to " + std::to_string(max));
  }
  return value;
}

std::string event(std::int64_t id, std::string_view name, const std::string& data) {
  return "id: " + std::to_string(id) + "\nevent: " + std::string(name) + "\ndata: " + data + "\n\n";
}

/// The events of one job, from its journal; woken by its commits.
class JobEvents : public http::BodyStream, public std::enable_shared_from_this<JobEvents> {
 public:
  JobEvents(std::shared_ptr<jobs::JobStore> store, asio::thread_pool& pool, std::string job,
            std::int64_t after, Lease lease, std::stop_token gone, std::stop_token draining)
      : store_(std::move(store)),
        pool_(pool),
        job_(std::move(job)),
        after_(after),
        lease_(std::move(lease)),
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
      co_await run_blocking(pool_, [&] { page = store_->events(job_, after_, events_at_a_time_); });
      if (!page.events.empty() || page.complete) {
        std::string text = text_of(page);
        const bool small = text.size() < kSmallPage;
        events_at_a_time_ = small ? std::min(2 * events_at_a_time_, kMaxEventsAtATime) : 1;
        // Without room the stream ends; the client comes back with its last event.
        const auto held = static_cast<std::int64_t>(text.capacity());
        if (held > lease_.amount() && !lease_.try_grow(held - lease_.amount())) {
          co_return std::nullopt;
        }
        if (held < lease_.amount()) lease_.shrink(lease_.amount() - held);
        co_return text;
      }
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
  std::int64_t events_at_a_time_ = 1;
  Lease lease_;  // of the page that is being written
  std::stop_token gone_;
  std::stop_token draining_;
  std::optional<asio::steady_timer> timer_;
  bool changed_ = false;  // on the connection's strand
  bool ended_ = false;
  jobs::Subscription subscription_;
  std::optional<std::stop_callback<std::function<void()>>> on_gone_;
  std::optional<std::stop_callback<std::function<void()>>> on_draining_;
};

/// What a journal's results say of what was not found: enough for hints.
std::vector<crop::ImageResult> outcomes_of(const Json& results) {
  std::vector<crop::ImageResult> outcomes;
  for (const Json& result : results) {
    crop::ImageResult& outcome = outcomes.emplace_back();
    if (result.value("error", Json()).is_object()) {
      outcome.error = Error(ErrorCode::kInternal, "failed");
    }
    outcome.not_found = result.value("not_found", std::vector<std::string>());
  }
  return outcomes;
}

}  // namespace

void JobsHandler::add_routes(Router& router) {
  router.add({"POST", "/v1/jobs", Access::kKey, Cost::kBody,
              [this](http::Request& request, const Call& call) { return create(request, call); }});
  router.add({"GET", "/v1/jobs/{}", Access::kKey, Cost::kNone,
              [this](http::Request& request, const Call& call) { return show(request, call); }});
  router.add({"DELETE", "/v1/jobs/{}", Access::kKey, Cost::kNone,
              [this](http::Request&, const Call& call) { return cancel(call); }});
  router.add({"GET", "/v1/jobs/{}/events", Access::kKey, Cost::kNone,
              [this](http::Request& request, const Call& call) { return events(request, call); }});
}

Reply JobsHandler::create(http::Request& request, const Call& call) const {
  jobs::JobInfo job;
  co_await run_blocking(parts_.pool, [&] {
    require_json(request);
    refuse_query(request);
    const ParsingRoom room(request, parts_.settings);
    nlohmann::json body = parse_json(request.body, parts_.settings, request.gone);
    request.drop_body();
    CropRequest wanted = parse_crop_request(body, RequestKind::kJob, parts_.settings);
    body.erase("images");  // decoded now
    if (!wanted.model.empty()) parts_.readiness.check_model(wanted.model);
    jobs::NewJob made;
    made.owner = call.owner;
    for (ImageSource& image : wanted.images) {
      jobs::NewImage entry;
      entry.id = image.id;
      if (const auto* url = std::get_if<std::string>(&image.from)) {
        entry.source = dump({{"id", image.id}, {"url", *url}});
      } else {
        const Bytes& bytes = *std::get<std::shared_ptr<const Bytes>>(image.from);
        entry.bytes.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        image.from = std::string();
      }
      made.images.push_back(std::move(entry));
    }
    made.options = nlohmann::json{{"request", std::move(body)}, {"base_url", call.base_url}}.dump();
    job = parts_.store->create(made);
  });
  co_return json_response(job_json(job), 202);
}

jobs::JobInfo JobsHandler::find(const Call& call) const {
  const auto job = parts_.store->find(call.argument);
  // Another caller's job is reported as not found.
  if (!job || job->owner != call.owner) {
    throw http::HttpError(404, ErrorCode::kNotFound, "there is no such job (any more)");
  }
  return *job;
}

Reply JobsHandler::show(const http::Request& request, const Call& call) const {
  const std::int64_t offset = query_number(request, "offset", 0, 0, 1'000'000'000);
  const std::int64_t limit = query_number(request, "limit", 100, 1, 1000);
  Lease lease = parts_.budgets.response_bytes.take(1, call.caller);
  http::Response response;
  co_await run_blocking(parts_.pool, [&] {
    find(call);
    const jobs::ResultsPage page = parts_.store->results(call.argument, offset, limit);
    std::size_t size = 0;
    for (const jobs::ImageResult& image : page.images) size += image.result.size();
    lease.resize(static_cast<std::int64_t>(3 * size));  // as read, as a document and as sent
    Json answer = job_json(page.job);
    answer["results"] = Json::array();
    for (const jobs::ImageResult& image : page.images) {
      if (!image.result.empty()) answer["results"].push_back(Json::parse(image.result));
    }
    const nlohmann::json options = nlohmann::json::parse(page.job.options);
    const CropRequest wanted =
        parse_crop_options(options.at("request"), RequestKind::kJob, parts_.settings);
    answer["version"] = ITEMCROP_VERSION;
    answer["date"] = crop::rfc3339(page.job.created);
    answer["model"] = parts_.requests.model_of(wanted);
    answer.update(crop::request_json(wanted, wanted.crops));
    answer["hints"] = parts_.requests.hints(wanted, outcomes_of(answer["results"]));
    response = json_response(answer);
  });
  lease.resize(static_cast<std::int64_t>(std::get<std::string>(response.body).size()));
  response.held = std::make_shared<Lease>(std::move(lease));
  co_return response;
}

Reply JobsHandler::cancel(const Call& call) const {
  jobs::JobInfo job;
  co_await run_blocking(parts_.pool, [&] {
    find(call);
    job = parts_.runner->cancel(call.argument);
  });
  co_return json_response(job_json(job));
}

Reply JobsHandler::events(const http::Request& request, const Call& call) const {
  co_await run_blocking(parts_.pool, [&] { find(call); });
  std::int64_t after = 0;
  const std::string_view last = request.header("Last-Event-ID");
  std::from_chars(last.data(), last.data() + last.size(), after);
  after = std::max<std::int64_t>(after, 0);
  http::Response response;
  response.content_type = "text/event-stream";
  response.headers = {{"Cache-Control", "no-store"}, {"X-Accel-Buffering", "no"}};
  response.body = std::shared_ptr<http::BodyStream>(std::make_shared<JobEvents>(
      parts_.store, parts_.pool, call.argument, after,
      parts_.budgets.stream_bytes.take(1, call.caller), request.gone, parts_.draining));
  co_return response;
}

}  // namespace itemcrop::service
