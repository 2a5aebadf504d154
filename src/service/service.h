#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include <boost/asio/thread_pool.hpp>

#include "fetch/http_client.h"
#include "jobs/job_runner.h"
#include "jobs/job_store.h"
#include "scheduler/model_registry.h"
#include "scheduler/scheduler.h"
#include "service/analyzer.h"
#include "service/cutter.h"
#include "service/gate.h"
#include "service/http/application.h"
#include "service/log.h"
#include "service/metrics.h"
#include "service/settings.h"
#include "store/housekeeper.h"
#include "store/local_store.h"

namespace itemcrop::service {

/// The HTTP service: its parts, its routes and its life. The routes are openapi.json's.
class Service : public http::Application {
 public:
  struct Parts {
    Settings settings;
    std::vector<scheduler::ModelConfig> models;
    std::filesystem::path data_folder;  ///< crops and jobs; made if it does not exist
    std::shared_ptr<const Log> log;
    /// Called once when a device is lost for good: the process should end and be started anew.
    std::function<void()> on_device_lost;
  };

  /// Models load in the background. Throws Error for settings that cannot work.
  explicit Service(Parts parts);
  ~Service() override;

  http::Admission admit(const http::Request& head) override;
  boost::asio::awaitable<http::Response> handle(http::Request& request) override;
  http::Response refuse(int status, const std::string& reason,
                        const std::string& request_id) override;
  void finished(const http::Exchange& exchange) noexcept override;
  void connections(std::size_t open, bool refused) noexcept override;

  /// Loads every model again beside the present copies.
  void reload();
  /// /readyz fails and new work is refused from here on; what was taken goes on.
  void begin_drain();
  /// Begins no more of the jobs' pictures and waits for those in hand; the rest is left to the next
  /// start. True if all in hand ended in time.
  bool drain_jobs(std::chrono::steady_clock::time_point deadline);
  /// After that and after the server's drain: ends what is left. True if there was nothing.
  bool drain(std::chrono::steady_clock::time_point deadline);

 private:
  using Reply = boost::asio::awaitable<http::Response>;
  /// A route of the table, and what its pattern matched.
  struct Route;
  struct Match {
    const Route* route = nullptr;
    std::string argument;       ///< {id} or {key}
    bool other_method = false;  ///< the path exists with another method
  };
  static const std::vector<Route>& routes();
  static Match match(const http::Request& head);

  // One function a route; `argument` is what the pattern's {} matched.
  Reply legacy_status(http::Request& request, const std::string& argument);
  Reply legacy_debug(http::Request& request, const std::string& argument);
  Reply legacy_crop(http::Request& request, const std::string& argument);
  Reply legacy_analyze(http::Request& request, const std::string& argument);
  Reply detect(http::Request& request, const std::string& argument);
  Reply crop(http::Request& request, const std::string& argument);
  Reply create_job(http::Request& request, const std::string& argument);
  Reply show_job(http::Request& request, const std::string& argument);
  Reply cancel_job(http::Request& request, const std::string& argument);
  Reply job_events(http::Request& request, const std::string& argument);
  Reply models(http::Request& request, const std::string& argument);
  Reply file(http::Request& request, const std::string& argument);
  Reply health(http::Request& request, const std::string& argument);
  Reply ready(http::Request& request, const std::string& argument);
  Reply metrics(http::Request& request, const std::string& argument);
  Reply embedded(http::Request& request, const std::string& argument);

  Awaitable<std::vector<CutImage>> cut_all(http::Request& request, const CutRequest& cut);
  Reply cut_answer(http::Request& request, RequestKind kind);
  Caller caller_of(const http::Request& request) const;
  std::string why_not_ready() const;
  bool is_loading(const std::string& model) const;
  /// Throws Failure: 404, or 503 where the model is not ready.
  void check_model(const std::string& name) const;
  /// Places in the bounded number of pictures in hand. Throws scheduler::Refused.
  std::shared_ptr<void> take_places(std::int64_t count);
  void run_job_image(jobs::JobImage image, std::stop_token stop, jobs::Completion completion);
  Awaitable<void> run_job_image_async(jobs::JobImage image, std::stop_token stop,
                                      jobs::Completion completion);
  jobs::JobInfo find_job(const std::string& id, const http::Request& request);
  http::Response failed(const std::exception_ptr& problem, const http::Request& request);

  Parts parts_;
  const Settings& settings_;
  Gate gate_;
  std::shared_ptr<Metrics> metrics_;
  boost::asio::thread_pool work_pool_;
  boost::asio::thread_pool fetch_pool_;
  std::shared_ptr<store::LocalStore> local_store_;   // null with another store
  std::unique_ptr<store::Housekeeper> housekeeper_;  // as well
  std::unique_ptr<Cutter> cutter_;
  std::unique_ptr<Analyzer> analyzer_;
  std::shared_ptr<jobs::JobStore> job_store_;
  std::shared_ptr<scheduler::ModelRegistry> registry_;
  std::shared_ptr<scheduler::Scheduler> scheduler_;
  std::unique_ptr<jobs::JobRunner> job_runner_;
  std::atomic<bool> draining_ = false;
  std::stop_source streams_;                         // ends the streams of events at a drain
  std::atomic<std::size_t> job_images_in_hand_ = 0;  // each needs both pools until it is done
  std::atomic<bool> device_lost_ = false;
  std::shared_ptr<std::atomic<std::int64_t>> places_;    // pictures of requests in hand
  std::shared_ptr<std::atomic<std::int64_t>> buffered_;  // bytes of bodies held
};

}  // namespace itemcrop::service
