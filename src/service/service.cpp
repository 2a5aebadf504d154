#include "service/service.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "core/thread_pool.h"
#include "fetch/http_client.h"
#include "service/categories_handler.h"
#include "service/crop_handler.h"
#include "service/health_handler.h"
#include "service/jobs_handler.h"
#include "service/legacy/legacy_handler.h"
#include "service/pages_handler.h"
#include "service/requests/error_reply.h"
#include "service/requests/memory_bound.h"
#include "service/stores.h"

namespace itemcrop::service {
namespace {

using Clock = std::chrono::steady_clock;

std::size_t pool_size(std::int64_t threads) {
  return threads > 0 ? static_cast<std::size_t>(threads)
                     : static_cast<std::size_t>(hardware_threads());
}

image::Limits image_limits(const Settings& settings) {
  image::Limits limits;
  limits.max_pixels = settings.max_pixels;
  limits.max_bytes = static_cast<std::size_t>(settings.max_image_bytes);
  return limits;
}

std::shared_ptr<const fetch::Fetcher> make_fetcher(const Settings& settings) {
  fetch::FetchOptions options;
  options.max_bytes = static_cast<std::size_t>(settings.max_image_bytes);
  options.deadline = milliseconds_of(settings.fetch_seconds);
  options.max_redirects = static_cast<int>(settings.fetch_redirects);
  options.allowed_hosts = settings.fetch_hosts;
  options.allow_private = settings.fetch_private;
  options.names = {.max_bytes = "max_image_bytes",
                   .deadline = "fetch_seconds",
                   .max_redirects = "fetch_redirects",
                   .allowed_hosts = "fetch_hosts",
                   .allow_private = "fetch_private = true"};
  return std::make_shared<const fetch::Fetcher>(std::move(options));
}

taxonomy::Transport make_transport() {
  auto client = std::make_shared<const fetch::HttpClient>();
  return [client](const fetch::HttpRequest& request, std::stop_token stop) {
    return client->send(request, stop);
  };
}

scheduler::SchedulerOptions scheduler_options(const Settings& settings) {
  scheduler::SchedulerOptions options;
  // Requests are counted as they come in; jobs hold their own few images beside them.
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
  options.owner_share = settings.caller_share;
  options.max_page_bytes = std::min(
      kJobPageBytes, static_cast<std::size_t>(settings.share_of(settings.max_response_bytes) / 4));
  options.max_result_bytes = kJobResultBytes;
  options.max_bytes = static_cast<std::uint64_t>(settings.jobs_max_bytes);
  options.retention =
      std::chrono::seconds(static_cast<std::int64_t>(settings.jobs_keep_hours * 3600));
  return options;
}

std::shared_ptr<jobs::JobStore> open_job_store(const Settings& settings,
                                               const std::filesystem::path& folder) {
  try {
    return std::make_shared<jobs::JobStore>(job_store_options(settings, folder));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kUnavailable) throw;
    throw Error(error.code(), std::string(error.what()) +
                                  ": give each 'itemcrop serve' a data_folder of its own");
  }
}

store::StoreMonitorOptions store_monitor_options(const Settings& settings,
                                                 const std::shared_ptr<const Log>& log) {
  store::StoreMonitorOptions options;
  options.check_every = milliseconds_of(settings.files_check_seconds);
  options.sweep_every = milliseconds_of(settings.files_sweep_seconds);
  options.on_sweep = [log](const store::SweepReport& report) {
    log->info("files_swept", {{"removed", std::to_string(report.files_removed)},
                              {"removed_bytes", std::to_string(report.bytes_removed)},
                              {"kept", std::to_string(report.files_kept)},
                              {"kept_bytes", std::to_string(report.bytes_kept)}});
  };
  options.on_error = [log, advice = store_advice(settings)](const std::string& error) {
    if (error.empty()) return log->info("store_healthy");
    log->error("store_unhealthy", {{"reason", error}, {"advice", advice}});
  };
  return options;
}

}  // namespace

Service::Service(Parts parts)
    : parts_(std::move(parts)),
      settings_(parts_.settings),
      origins_(settings_),
      trusted_proxies_(settings_.trusted_proxies, "trusted_proxies"),
      authenticator_(settings_),
      rates_(settings_.rate_limit, static_cast<double>(settings_.rate_burst)),
      metrics_(std::make_shared<Metrics>()),
      pools_(pool_size(settings_.work_threads), static_cast<std::size_t>(settings_.fetch_threads)),
      budgets_(settings_) {
  std::error_code error;
  std::filesystem::create_directories(parts_.data_folder, error);
  if (error) {
    throw Error(ErrorCode::kIo, "data_folder '" + parts_.data_folder.string() +
                                    "' cannot be made: " + error.message());
  }
  const Stores stores = open_stores(settings_, parts_.data_folder, parts_.variable);
  check_bucket(settings_, stores);
  std::shared_ptr<store::StoreMonitor> store_monitor;
  if (stores.store != nullptr) {
    store_monitor = std::make_shared<store::StoreMonitor>(
        stores.store, store_monitor_options(settings_, parts_.log));
  }
  job_store_ = open_job_store(settings_, parts_.data_folder);
  std::vector<std::filesystem::path> files(settings_.taxonomies.begin(),
                                           settings_.taxonomies.end());
  auto taxonomies = std::make_shared<const taxonomy::Catalog>(files);

  registry_ = std::make_shared<scheduler::ModelRegistry>(parts_.models, settings_.default_model);
  for (const scheduler::DeviceId& device : registry_->devices()) {
    metrics_->on_device(device, true, {});
  }
  scheduler::SchedulerOptions options = scheduler_options(settings_);
  options.on_device_lost = [this](const scheduler::DeviceId& device, const std::string& reason) {
    readiness_->lose_device();
    parts_.log->error("device_lost", {{"device", to_string(device)}, {"reason", reason}});
    if (parts_.on_device_lost) parts_.on_device_lost();
  };
  scheduler_ = std::make_shared<scheduler::Scheduler>(registry_, std::move(options), metrics_);
  readiness_ = std::make_unique<Readiness>(registry_, scheduler_, std::move(store_monitor));
  pipeline_ = std::make_unique<Pipeline>(
      Pipeline::Parts{image_limits(settings_), scheduler_, make_fetcher(settings_), stores.store,
                      metrics_, budgets_.download_bytes, budgets_.decoding_bytes, pools_});
  analyzer_ = std::make_unique<legacy::Analyzer>(legacy::Analyzer::Parts{
      settings_, *pipeline_, budgets_, pools_, registry_, taxonomies, make_transport()});
  request_runner_ = std::make_unique<RequestRunner>(
      RequestRunner::Parts{settings_, *pipeline_, budgets_, pools_, scheduler_, registry_,
                           taxonomies, parts_.better_model});
  jobs::JobRunnerOptions runner;
  runner.concurrency = kJobImagesAtATime;
  runner.on_problem = [log = parts_.log](const std::string& problem) {
    log->error("job_journal", {{"problem", problem}});
  };
  job_processor_ = std::make_unique<JobProcessor>(
      JobProcessor::Parts{settings_, *readiness_, *request_runner_, *pipeline_, budgets_, pools_});
  job_runner_ = std::make_shared<jobs::JobRunner>(
      job_store_,
      [this](jobs::JobImage image, std::stop_token stop, jobs::Completion completion) {
        (*job_processor_)(std::move(image), std::move(stop), std::move(completion));
      },
      std::move(runner));
  add_handlers(stores.local, taxonomies);
}

void Service::add_handlers(const std::shared_ptr<const store::LocalStore>& files,
                           const std::shared_ptr<const taxonomy::Catalog>& taxonomies) {
  const auto add = [this](auto handler) {
    handler->add_routes(router_);
    handlers_.push_back(std::move(handler));
  };
  add(std::make_shared<CropHandler>(
      CropHandler::Parts{settings_, *readiness_, *request_runner_, pools_}));
  add(std::make_shared<JobsHandler>(JobsHandler::Parts{settings_, *readiness_, *request_runner_,
                                                       budgets_, job_store_, job_runner_,
                                                       pools_.local, streams_.get_token()}));
  add(std::make_shared<HealthHandler>(HealthHandler::Parts{
      *readiness_, registry_, taxonomies, scheduler_, job_store_, metrics_, pools_.local}));
  add(std::make_shared<CategoriesHandler>(CategoriesHandler::Parts{registry_, taxonomies}));
  add(std::make_shared<PagesHandler>(
      PagesHandler::Parts{settings_, budgets_, files, pools_.local}));
  add(std::make_shared<legacy::LegacyHandler>(legacy::LegacyHandler::Parts{
      settings_, *readiness_, *request_runner_, *analyzer_, registry_, pools_}));
}

Service::~Service() {
  begin_drain();
  drain_jobs(Clock::now());
  drain(Clock::now());
  job_processor_.reset();  // its images need the pools until they are done
  pools_.join();
}

void Service::begin_drain() {
  readiness_->begin_drain();
  streams_.request_stop();
}

bool Service::drain_jobs(Clock::time_point deadline) { return job_runner_->drain(deadline); }

bool Service::drain(Clock::time_point deadline) { return scheduler_->drain(deadline); }

void Service::reload() {
  for (const scheduler::ModelStatus& model : registry_->status()) {
    parts_.log->info("model_reload", {{"model", model.name}});
    registry_->reload(model.name,
                      [log = parts_.log, name = model.name](const std::exception_ptr& problem) {
                        if (!problem) return log->info("model_reloaded", {{"model", name}});
                        log->error("model_reload_failed",
                                   {{"model", name}, {"reason", error_reply(problem).message}});
                      });
  }
}

http::Admission Service::admit(http::Request& head) {
  http::Admission admission;
  admission.deadline = milliseconds_of(settings_.request_seconds);
  Router::Match found = router_.match(head.method, head.path);
  const auto call = std::make_shared<Call>();
  call->route = found.route;
  call->argument = std::move(found.argument);
  head.remote_address = client_address(head, trusted_proxies_);
  call->caller = caller_of_address(head.remote_address);
  head.context = call;
  try {
    check(head, found, *call);
    if (found.route != nullptr && found.route->cost != Cost::kNone && head.method != "OPTIONS") {
      admit_body(head, *call, admission);
    }
  } catch (const scheduler::RejectedError& rejected) {
    metrics_->rejected(to_string(rejected.reason()));
    admission.refusal = error_response(std::current_exception(), head);
  } catch (...) {
    admission.refusal = error_response(std::current_exception(), head);
    if (admission.refusal->status == 429) metrics_->rejected("rate_limit");
    if (!found.allowed_methods.empty()) {
      admission.refusal->headers.push_back({"Allow", found.allowed_methods});
    }
  }
  return admission;
}

void Service::check(const http::Request& head, const Router::Match& found, Call& call) {
  origins_.check_host(head);
  if (head.method == "OPTIONS") return;
  if (!found.allowed_methods.empty()) {
    throw http::HttpError(405, ErrorCode::kInvalidArgument,
                          head.method + " is not a method of this path");
  }
  if (found.route == nullptr)
    throw http::HttpError(404, ErrorCode::kNotFound, "there is nothing here");
  if (found.route->access == Access::kOpen) return;
  try {
    origins_.check_origin(head);
  } catch (const Error&) {
    parts_.log->warning("origin_refused", {{"request_id", head.id},
                                           {"origin", std::string(head.header("Origin"))},
                                           {"route", std::string(found.route->pattern)}});
    throw;
  }
  call.base_url = origins_.base_url(head);
  call.owner = authenticator_.authenticate(head, call.caller);
  if (!call.owner.empty()) call.caller = call.owner;
  if (!rates_.try_take(call.caller)) {
    throw Error(ErrorCode::kOverloaded, "rate_limit: more requests than one caller may send")
        .with_retry_after(rates_.retry_after_seconds());
  }
}

void Service::admit_body(const http::Request& head, const Call& call, http::Admission& admission) {
  if (!head.content_length && !head.chunked) {
    throw http::HttpError(411, ErrorCode::kInvalidArgument, "this route needs a body");
  }
  if (readiness_->draining()) {
    throw scheduler::RejectedError(ErrorCode::kDraining, scheduler::RejectReason::kDraining, 5,
                                   "the service is shutting down");
  }
  // Refused now if there is no room, before a byte of the body is read; taken when the body is
  // here, so that nobody holds a place by sending slowly.
  if (call.route->cost == Cost::kModel) take_images(budgets_, *scheduler_, 1, call.caller);
  admission.body = budgets_.body_bytes.take(0, call.caller);
  admission.max_body_bytes = static_cast<std::size_t>(settings_.max_body_bytes);
}

http::Response Service::failed(const std::exception_ptr& problem, const http::Request& request) {
  metrics_->rejected("bytes_full");
  return error_response(problem, request);
}

http::Response Service::error_response(const std::exception_ptr& problem,
                                       const http::Request& request) {
  const ErrorReply reply = error_reply(problem);
  if (reply.status == 500) {
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
  response.status = reply.status;
  response.body = error_json(reply, request.id);
  response.headers = origins_.cors_headers(request);
  response.headers.push_back({"X-Content-Type-Options", "nosniff"});
  if (reply.retry_after_seconds > 0) {
    response.headers.push_back({"Retry-After", std::to_string(reply.retry_after_seconds)});
  }
  if (reply.status == 401) response.headers.push_back({"WWW-Authenticate", "Bearer"});
  return response;
}

Lease Service::take_image(const Call& call) {
  try {
    return take_images(budgets_, *scheduler_, 1, call.caller);
  } catch (const scheduler::RejectedError& rejected) {
    metrics_->rejected(to_string(rejected.reason()));
    throw;
  }
}

boost::asio::awaitable<http::Response> Service::handle(http::Request& request) {
  http::Response response;
  std::exception_ptr problem;
  try {
    if (request.method == "OPTIONS") {
      response.status = 204;
      response.content_type.clear();
    } else {
      const Call& call = call_of(request);
      std::shared_ptr<Lease> image;
      if (call.route->cost == Cost::kModel) {
        image = std::make_shared<Lease>(take_image(call));
      }
      response = co_await call.route->handle(request, call);
      // Beside what the handler keeps: a place is free again once its response is written.
      response.held = std::make_shared<std::pair<std::shared_ptr<void>, std::shared_ptr<Lease>>>(
          std::move(response.held), std::move(image));
    }
  } catch (...) {
    problem = std::current_exception();
  }
  if (problem) co_return error_response(problem, request);
  for (http::Header& header : origins_.cors_headers(request)) {
    response.headers.push_back(std::move(header));
  }
  response.headers.push_back({"X-Content-Type-Options", "nosniff"});
  co_return response;
}

http::Response Service::refuse(int status, const std::string& reason,
                               const std::string& request_id) {
  ErrorReply reply{status, "invalid_argument", reason, {}, 0};
  if (status == 408) reply.code = "request_timeout";
  if (status == 413 || status == 431) reply.code = "limit_exceeded";
  if (status == 501 || status == 505) reply.code = "not_implemented";
  http::Response response;
  response.status = status;
  response.body = error_json(reply, request_id);
  return response;
}

void Service::finished(const http::Exchange& exchange) noexcept {
  try {
    const auto* call = static_cast<const Call*>(exchange.request.context.get());
    const Route* found = call != nullptr ? call->route : nullptr;
    const std::string route(found != nullptr ? found->pattern : "other");
    metrics_->request(route, exchange.status, exchange.seconds);
    const bool routine = exchange.status < 400 && found != nullptr && found->cost == Cost::kNone;
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

}  // namespace itemcrop::service
