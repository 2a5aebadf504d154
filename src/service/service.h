#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "jobs/job_runner.h"
#include "jobs/job_store.h"
#include "scheduler/model_registry.h"
#include "scheduler/scheduler.h"
#include "service/budgets.h"
#include "service/http/application.h"
#include "service/job_processor.h"
#include "service/legacy/analyzer.h"
#include "service/log.h"
#include "service/metrics.h"
#include "service/pipeline.h"
#include "service/pools.h"
#include "service/readiness.h"
#include "service/request_runner.h"
#include "service/requests/authenticator.h"
#include "service/requests/client_address.h"
#include "service/requests/origin_policy.h"
#include "service/requests/rate_limiter.h"
#include "service/requests/settings.h"
#include "service/router.h"
#include "store/local_store.h"
#include "taxonomy/taxonomy.h"

namespace itemcrop::service {

/// The HTTP service: makes the parts, gives them to the handlers that use them, and ends them. What
/// it does itself is to admit requests, the same way for every route. The routes are
/// openapi.json's.
class Service : public http::Application {
 public:
  struct Parts {
    Settings settings;
    std::vector<scheduler::ModelConfig> models;
    std::filesystem::path data_folder;  ///< crops and jobs; made if it does not exist
    std::function<std::optional<std::string>(const std::string&)> variable;  ///< getenv
    std::shared_ptr<const Log> log;
    std::string better_model;  ///< for hints: one that knows more, as `models pull` takes it
    /// Called once when a device is lost for good: the process should end and be started anew.
    std::function<void()> on_device_lost;
  };

  /// Models load in the background. Throws Error for settings that cannot work.
  explicit Service(Parts parts);
  ~Service() override;

  http::Admission admit(http::Request& head) override;
  boost::asio::awaitable<http::Response> handle(http::Request& request) override;
  http::Response refuse(int status, const std::string& reason,
                        const std::string& request_id) override;
  http::Response failed(const std::exception_ptr& problem, const http::Request& request) override;
  void finished(const http::Exchange& exchange) noexcept override;
  void connections(std::size_t open, bool refused) noexcept override;

  /// Loads every model again beside the present copies.
  void reload();
  /// /readyz fails and new work is refused from here on; what was taken goes on.
  void begin_drain();
  /// Begins no more of the jobs' images and waits for those in hand; the rest is left to the next
  /// start. True if all in hand ended in time.
  bool drain_jobs(std::chrono::steady_clock::time_point deadline);
  /// After that and after the server's drain: ends what is left. True if there was nothing.
  bool drain(std::chrono::steady_clock::time_point deadline);

 private:
  void add_handlers(const std::shared_ptr<const store::LocalStore>& files,
                    const std::shared_ptr<const taxonomy::Catalog>& taxonomies);
  /// Admits a body; throws what refuses it.
  void admit_body(const http::Request& head, const Call& call, http::Admission& admission);
  http::Response error_response(const std::exception_ptr& problem, const http::Request& request);
  /// For a request whose body has arrived. Throws scheduler::RejectedError.
  Lease take_image(const Call& call);
  /// Throws what refuses a request by its head.
  void check(const http::Request& head, const Router::Match& found, Call& call);

  Parts parts_;
  const Settings& settings_;
  OriginPolicy origins_;
  NetworkList trusted_proxies_;
  Authenticator authenticator_;
  RateLimiter rates_;
  std::shared_ptr<Metrics> metrics_;
  Pools pools_;
  Budgets budgets_;
  std::unique_ptr<Pipeline> pipeline_;
  std::unique_ptr<legacy::Analyzer> analyzer_;
  std::shared_ptr<jobs::JobStore> job_store_;
  std::shared_ptr<scheduler::ModelRegistry> registry_;
  std::shared_ptr<scheduler::Scheduler> scheduler_;
  std::unique_ptr<Readiness> readiness_;
  std::unique_ptr<RequestRunner> request_runner_;
  std::unique_ptr<JobProcessor> job_processor_;
  std::shared_ptr<jobs::JobRunner> job_runner_;
  std::stop_source streams_;  // ends the streams of events at a drain
  Router router_;
  std::vector<std::shared_ptr<void>> handlers_;  // the router's routes call them
};

}  // namespace itemcrop::service
