#include "service/service.h"

#include <algorithm>
#include <array>
#include <thread>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <nlohmann/json.hpp>

#include "core/thread_pool.h"
#include "service/answers.h"
#include "service/json_fields.h"
#include "service/stores.h"
#include "service/web/embedded_files.h"

namespace itemcrop::service {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

constexpr int kJobImagesAtATime = 4;

std::size_t pool_size(std::int64_t threads) {
  return threads > 0 ? static_cast<std::size_t>(threads)
                     : static_cast<std::size_t>(hardware_threads());
}

std::shared_ptr<const fetch::Fetcher> make_fetcher(const Settings& settings) {
  fetch::FetchOptions options;
  options.max_bytes = static_cast<std::size_t>(settings.max_image_bytes);
  options.deadline = milliseconds_of(settings.fetch_seconds);
  options.max_redirects = static_cast<int>(settings.fetch_redirects);
  options.allowed_hosts = settings.fetch_hosts;
  options.allow_private = settings.fetch_private;
  return std::make_shared<const fetch::Fetcher>(std::move(options));
}

/// fetch::HttpClient in the shape that the words' VLM client asks for.
taxonomy::Transport make_transport() {
  auto client = std::make_shared<const fetch::HttpClient>();
  return [client](const taxonomy::HttpRequest& request, std::stop_token stop) {
    fetch::HttpRequest sent;
    sent.method = request.method;
    sent.url = request.url;
    sent.headers = request.headers;
    sent.body = request.body;
    sent.deadline = request.deadline;
    sent.max_response_bytes = request.max_response_bytes;
    fetch::HttpResponse answer = client->send(sent, stop);
    return taxonomy::HttpResponse{answer.status, std::move(answer.headers), std::move(answer.body)};
  };
}

scheduler::SchedulerOptions scheduler_options(const Settings& settings) {
  scheduler::SchedulerOptions options;
  // Requests are counted as they come in; jobs hold their own few pictures beside them.
  options.max_queued = static_cast<std::size_t>(settings.max_queued) + kJobImagesAtATime;
  options.max_queued_bytes = static_cast<std::size_t>(settings.max_queued_bytes);
  options.max_batch_images = static_cast<std::size_t>(settings.batch_images);
  options.max_batch_bytes = static_cast<std::size_t>(settings.batch_bytes);
  if (settings.batch_window_seconds >= 0) {
    options.window =
        std::chrono::microseconds(static_cast<std::int64_t>(settings.batch_window_seconds * 1e6));
  }
  options.stuck_after = milliseconds_of(settings.stuck_seconds);
  return options;
}

jobs::JobStoreOptions job_store_options(const Settings& settings,
                                        const std::filesystem::path& folder) {
  jobs::JobStoreOptions options;
  options.file = folder / "jobs.sqlite";
  options.max_images = static_cast<std::size_t>(settings.job_images);
  options.max_image_bytes = static_cast<std::size_t>(settings.max_image_bytes);
  options.max_unfinished = static_cast<std::size_t>(settings.jobs_unfinished);
  options.max_bytes = static_cast<std::uint64_t>(settings.jobs_max_bytes);
  options.retention =
      std::chrono::seconds(static_cast<std::int64_t>(settings.jobs_keep_hours * 3600));
  return options;
}

store::HousekeeperOptions housekeeper_options(const Settings& settings,
                                              const std::shared_ptr<const Log>& log) {
  store::HousekeeperOptions options;
  options.check_every = milliseconds_of(settings.files_check_seconds);
  options.sweep_every = milliseconds_of(settings.files_sweep_seconds);
  options.on_sweep = [log](const store::SweepReport& report) {
    log->info("files_swept", {{"removed", std::to_string(report.files_removed)},
                              {"removed_bytes", std::to_string(report.bytes_removed)},
                              {"kept", std::to_string(report.files_kept)},
                              {"kept_bytes", std::to_string(report.bytes_kept)}});
  };
  options.on_trouble = [log](const std::string& trouble) {
    if (trouble.empty()) return log->info("store_well");
    log->error("store_not_well", {{"reason", trouble}});
  };
  return options;
}

/// Holds one of a bounded number while it lives.
std::shared_ptr<void> take(const std::shared_ptr<std::atomic<std::int64_t>>& counter,
                           std::int64_t amount, std::int64_t limit) {
  if (counter->fetch_add(amount) + amount > limit) {
    counter->fetch_sub(amount);
    return nullptr;
  }
  return {counter.get(), [counter, amount](void*) { counter->fetch_sub(amount); }};
}

}  // namespace

enum class Access { kOpen, kKey };
/// What a route costs: nothing, a body, or a body and the model.
enum class Cost { kNone, kBody, kModel };

struct Service::Route {
  std::string_view method;
  std::string_view pattern;  ///< "{}" matches one segment, "{*}" the rest
  Access access;
  Cost cost;
  Reply (Service::*reply)(http::Request&, const std::string&);
};

const std::vector<Service::Route>& Service::routes() {
  using S = Service;
  static const std::vector<Route> table = {
      {"GET", "/", Access::kOpen, Cost::kNone, &S::legacy_status},
      {"GET", "/debug", Access::kOpen, Cost::kNone, &S::legacy_debug},
      {"POST", "/crop", Access::kKey, Cost::kModel, &S::legacy_crop},
      {"POST", "/analyze", Access::kKey, Cost::kModel, &S::legacy_analyze},
      {"POST", "/v1/detect", Access::kKey, Cost::kModel, &S::detect},
      {"POST", "/v1/crop", Access::kKey, Cost::kModel, &S::crop},
      {"POST", "/v1/jobs", Access::kKey, Cost::kBody, &S::create_job},
      {"GET", "/v1/jobs/{}", Access::kKey, Cost::kNone, &S::show_job},
      {"DELETE", "/v1/jobs/{}", Access::kKey, Cost::kNone, &S::cancel_job},
      {"GET", "/v1/jobs/{}/events", Access::kKey, Cost::kNone, &S::job_events},
      {"GET", "/v1/models", Access::kKey, Cost::kNone, &S::models},
      {"GET", "/files/{*}", Access::kOpen, Cost::kNone, &S::file},
      {"GET", "/healthz", Access::kOpen, Cost::kNone, &S::health},
      {"GET", "/readyz", Access::kOpen, Cost::kNone, &S::ready},
      {"GET", "/metrics", Access::kKey, Cost::kNone, &S::metrics},
      {"GET", "/openapi.json", Access::kOpen, Cost::kNone, &S::embedded},
      {"GET", "/docs", Access::kOpen, Cost::kNone, &S::embedded},
      {"GET", "/docs/{*}", Access::kOpen, Cost::kNone, &S::embedded},
      {"GET", "/ui", Access::kOpen, Cost::kNone, &S::embedded},
      {"GET", "/ui/{*}", Access::kOpen, Cost::kNone, &S::embedded}};
  return table;
}

namespace {

/// True if the path fits; `argument` gets what {} or {*} stands for.
bool fits(std::string_view pattern, std::string_view path, std::string& argument) {
  const std::size_t brace = pattern.find('{');
  if (brace == pattern.npos) return pattern == path;
  if (!path.starts_with(pattern.substr(0, brace))) return false;
  path.remove_prefix(brace);
  const std::string_view rest = pattern.substr(pattern.find('}') + 1);
  if (!path.ends_with(rest) || path.size() <= rest.size()) return false;
  const std::string_view middle = path.substr(0, path.size() - rest.size());
  if (pattern[brace + 1] != '*' && middle.find('/') != middle.npos) return false;
  argument = std::string(middle);
  return true;
}

}  // namespace

Service::Match Service::match(const http::Request& head) {
  Match found;
  const std::string_view method = head.method == "HEAD" ? "GET" : std::string_view(head.method);
  for (const Route& route : routes()) {
    std::string argument;
    if (!fits(route.pattern, head.path, argument)) continue;
    if (route.method == method) return {&route, std::move(argument), false};
    found.other_method = true;
  }
  return found;
}

Service::Service(Parts parts)
    : parts_(std::move(parts)),
      settings_(parts_.settings),
      gate_(settings_),
      metrics_(std::make_shared<Metrics>()),
      work_pool_(pool_size(settings_.work_threads)),
      fetch_pool_(static_cast<std::size_t>(settings_.fetch_threads)),
      places_(std::make_shared<std::atomic<std::int64_t>>(0)),
      buffered_(std::make_shared<std::atomic<std::int64_t>>(0)) {
  std::error_code error;
  std::filesystem::create_directories(parts_.data_folder, error);
  if (error) {
    throw Error(ErrorCode::kIo, "data_folder '" + parts_.data_folder.string() +
                                    "' cannot be made: " + error.message());
  }
  Stores stores = open_stores(settings_, parts_.data_folder);
  local_store_ = stores.local;
  if (local_store_ != nullptr) {
    housekeeper_ = std::make_unique<store::Housekeeper>(local_store_,
                                                        housekeeper_options(settings_, parts_.log));
  }
  job_store_ = std::make_shared<jobs::JobStore>(job_store_options(settings_, parts_.data_folder));
  std::vector<std::filesystem::path> files(settings_.taxonomies.begin(),
                                           settings_.taxonomies.end());
  auto words = std::make_shared<const taxonomy::Catalog>(files);

  registry_ = std::make_shared<scheduler::ModelRegistry>(parts_.models, settings_.default_model);
  for (const scheduler::DeviceId& device : registry_->devices()) {
    metrics_->on_device(device, true, {});
  }
  scheduler::SchedulerOptions options = scheduler_options(settings_);
  options.on_device_lost = [this](const scheduler::DeviceId& device, const std::string& reason) {
    device_lost_ = true;
    parts_.log->error("device_lost", {{"device", to_string(device)}, {"reason", reason}});
    if (parts_.on_device_lost) parts_.on_device_lost();
  };
  scheduler_ = std::make_shared<scheduler::Scheduler>(registry_, std::move(options), metrics_);
  cutter_ = std::make_unique<Cutter>(Cutter::Parts{settings_, registry_, scheduler_, words,
                                                   make_fetcher(settings_), stores.store, metrics_,
                                                   work_pool_, fetch_pool_});
  analyzer_ = std::make_unique<Analyzer>(*cutter_, make_transport());
  jobs::JobRunnerOptions runner;
  runner.concurrency = kJobImagesAtATime;
  runner.on_problem = [log = parts_.log](const std::string& problem) {
    log->error("job_journal", {{"problem", problem}});
  };
  job_runner_ = std::make_unique<jobs::JobRunner>(
      job_store_,
      [this](jobs::JobImage image, std::stop_token stop, jobs::Completion completion) {
        run_job_image(std::move(image), std::move(stop), std::move(completion));
      },
      std::move(runner));
}

Service::~Service() {
  begin_drain();
  drain_jobs(Clock::now());
  drain(Clock::now());
  // A picture that was given up still goes from pool to pool until it notices.
  for (std::size_t count; (count = job_images_in_hand_.load()) > 0;) {
    job_images_in_hand_.wait(count);
  }
  fetch_pool_.join();
  work_pool_.join();
}

void Service::begin_drain() {
  draining_ = true;
  streams_.request_stop();
}

bool Service::drain_jobs(Clock::time_point deadline) { return job_runner_->drain(deadline); }

bool Service::drain(Clock::time_point deadline) { return scheduler_->drain(deadline); }

void Service::reload() {
  for (const scheduler::ModelStatus& model : registry_->status()) {
    parts_.log->info("model_reload", {{"model", model.name}});
    registry_->reload(model.name, [log = parts_.log,
                                   name = model.name](std::exception_ptr problem) {
      if (!problem) return log->info("model_reloaded", {{"model", name}});
      log->error("model_reload_failed", {{"model", name}, {"reason", trouble_of(problem).message}});
    });
  }
}

http::Admission Service::admit(const http::Request& head) {
  http::Admission admission;
  admission.deadline = milliseconds_of(settings_.request_seconds);
  try {
    const Match found = match(head);
    if (head.method == "OPTIONS") return admission;
    if (found.other_method) {
      throw Failure(405, ErrorCode::kInvalidArgument,
                    head.method + " is not a method of this path");
    }
    if (found.route == nullptr) throw Failure(404, ErrorCode::kNotFound, "there is nothing here");
    if (found.route->access == Access::kKey) {
      const std::string key = gate_.authenticate(head);
      gate_.spend(key.empty() ? head.remote_address : key);
    }
    if (found.route->cost == Cost::kNone) return admission;
    if (!head.content_length && !head.chunked) {
      throw Failure(411, ErrorCode::kInvalidArgument, "this route needs a body");
    }
    if (draining_) {
      throw scheduler::Refused(ErrorCode::kDraining, scheduler::Refusal::kDraining, 5,
                               "the service is shutting down");
    }
    // Decoding and waiting together are bounded here, before a byte of the body is read.
    std::shared_ptr<void> place;
    if (found.route->cost == Cost::kModel) place = take_places(1);
    const std::int64_t expected = head.content_length
                                      ? static_cast<std::int64_t>(*head.content_length)
                                      : settings_.max_body_bytes;
    if (expected <= settings_.max_body_bytes) {  // else the server answers 413
      auto bytes = take(buffered_, expected, settings_.max_buffered_bytes);
      if (bytes == nullptr) {
        throw scheduler::Refused(
            ErrorCode::kOverloaded, scheduler::Refusal::kBytesFull, 1,
            "max_buffered_bytes = " + std::to_string(settings_.max_buffered_bytes) +
                " bytes of bodies are being worked on");
      }
      using Holds = std::pair<std::shared_ptr<void>, std::shared_ptr<void>>;
      admission.hold = std::make_shared<Holds>(std::move(place), std::move(bytes));
    }
    admission.max_body_bytes = static_cast<std::size_t>(settings_.max_body_bytes);
  } catch (const scheduler::Refused& refused) {
    metrics_->rejected(to_string(refused.reason()));
    admission.refusal = failed(std::current_exception(), head);
  } catch (...) {
    admission.refusal = failed(std::current_exception(), head);
    if (admission.refusal->status == 429) metrics_->rejected("rate_limit");
  }
  return admission;
}

std::shared_ptr<void> Service::take_places(std::int64_t count) {
  auto places = take(places_, count, settings_.max_queued);
  if (places == nullptr) {
    throw scheduler::Refused(
        ErrorCode::kOverloaded, scheduler::Refusal::kQueueFull, scheduler_->retry_after_seconds(),
        "max_queued = " + std::to_string(settings_.max_queued) + " pictures are being worked on");
  }
  return places;
}

Service::Reply Service::handle(http::Request& request) {
  http::Response response;
  std::exception_ptr problem;
  try {
    if (request.method == "OPTIONS") {
      response.status = 204;
      response.content_type.clear();
    } else {
      const Match found = match(request);
      response = co_await (this->*found.route->reply)(request, found.argument);
    }
  } catch (...) {
    problem = std::current_exception();
  }
  if (problem) co_return failed(problem, request);
  for (http::Header& header : gate_.cors_headers(request)) {
    response.headers.push_back(std::move(header));
  }
  response.headers.push_back({"X-Content-Type-Options", "nosniff"});
  co_return response;
}

http::Response Service::failed(const std::exception_ptr& problem, const http::Request& request) {
  const Trouble trouble = trouble_of(problem);
  if (trouble.status == 500) {
    std::string what = "unknown";
    try {
      std::rethrow_exception(problem);
    } catch (const std::exception& error) {
      what = error.what();
    } catch (...) {
    }
    parts_.log->error("request_failed", {{"request_id", request.id}, {"reason", what}});
  }
  http::Response response;
  response.status = trouble.status;
  response.body = error_json(trouble, request.id);
  response.headers = gate_.cors_headers(request);
  response.headers.push_back({"X-Content-Type-Options", "nosniff"});
  if (trouble.retry_after_seconds > 0) {
    response.headers.push_back({"Retry-After", std::to_string(trouble.retry_after_seconds)});
  }
  if (trouble.status == 401) response.headers.push_back({"WWW-Authenticate", "Bearer"});
  if (trouble.status == 405) {
    std::string methods;
    for (const Route& route : routes()) {
      std::string argument;
      if (fits(route.pattern, request.path, argument)) {
        methods += (methods.empty() ? "" : ", ") + std::string(route.method);
      }
    }
    response.headers.push_back({"Allow", methods});
  }
  return response;
}

http::Response Service::refuse(int status, const std::string& reason,
                               const std::string& request_id) {
  Trouble trouble{status, "invalid_argument", reason, {}, 0};
  if (status == 408) trouble.code = "request_timeout";
  if (status == 413 || status == 431) trouble.code = "limit_exceeded";
  if (status == 501 || status == 505) trouble.code = "not_implemented";
  http::Response response;
  response.status = status;
  response.body = error_json(trouble, request_id);
  return response;
}

void Service::finished(const http::Exchange& exchange) noexcept {
  try {
    const Match found = match(exchange.request);
    const std::string route = found.route != nullptr ? std::string(found.route->pattern) : "other";
    metrics_->request(route, exchange.status, exchange.seconds);
    const bool routine =
        exchange.status < 400 && found.route != nullptr && found.route->cost == Cost::kNone;
    parts_.log->write(exchange.status >= 500 ? LogLevel::kWarning
                      : routine              ? LogLevel::kDebug
                                             : LogLevel::kInfo,
                      "request",
                      {{"request_id", exchange.request.id},
                       {"method", exchange.request.method.substr(0, 16)},
                       {"route", route},
                       {"status", std::int64_t{exchange.status}},
                       {"ms", static_cast<std::int64_t>(exchange.seconds * 1000)},
                       {"bytes_in", static_cast<std::int64_t>(exchange.bytes_in)},
                       {"bytes_out", static_cast<std::int64_t>(exchange.bytes_out)}});
  } catch (...) {  // out of memory for a log line is no reason to lose the connection
  }
}

void Service::connections(std::size_t open, bool refused) noexcept {
  metrics_->connections(static_cast<double>(open));
  if (refused) metrics_->rejected("connections");
}

bool Service::is_loading(const std::string& model) const {
  const std::string& name = model.empty() ? registry_->default_name() : model;
  const std::vector<scheduler::ModelStatus> models = registry_->status();
  return std::any_of(models.begin(), models.end(), [&](const scheduler::ModelStatus& each) {
    return each.name == name && each.state == scheduler::ModelState::kLoading;
  });
}

void Service::check_model(const std::string& name) const {
  try {
    registry_->get(name);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kNotFound)
      throw Failure(404, error.code(), error.what(), "model");
    throw Failure(503, error.code(), error.what());
  }
}

Caller Service::caller_of(const http::Request& request) const {
  Caller caller;
  caller.deadline = request.deadline;
  caller.gone = request.gone;
  caller.base_url = base_url_of(request, settings_);
  return caller;
}

// /readyz needs no key, so reasons that may name files are for /v1/models and the log.
std::string Service::why_not_ready() const {
  if (draining_) return "draining";
  if (device_lost_) return "a device was lost";
  for (const scheduler::ModelStatus& model : registry_->status()) {
    if (model.state != scheduler::ModelState::kReady) {
      return "model '" + model.name + "' is " + std::string(to_string(model.state));
    }
  }
  for (const scheduler::DeviceStatus& device : scheduler_->status().devices) {
    if (!device.well) return to_string(device.id) + " is not well";
  }
  // Whoever may ask this need not learn paths.
  const bool stores = housekeeper_ == nullptr || housekeeper_->trouble().empty();
  return stores ? "" : "crops cannot be stored; the log says why";
}

}  // namespace itemcrop::service
