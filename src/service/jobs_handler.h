#pragma once

#include <memory>
#include <stop_token>

#include <boost/asio/thread_pool.hpp>

#include "jobs/job_runner.h"
#include "jobs/job_store.h"
#include "service/budgets.h"
#include "service/readiness.h"
#include "service/request_runner.h"
#include "service/requests/settings.h"
#include "service/router.h"

namespace itemcrop::service {

/// /v1/jobs and what is below it.
class JobsHandler {
 public:
  struct Parts {
    const Settings& settings;
    const Readiness& readiness;
    const RequestRunner& requests;
    Budgets& budgets;
    std::shared_ptr<jobs::JobStore> store;
    std::shared_ptr<jobs::JobRunner> runner;
    boost::asio::thread_pool& pool;  ///< reads and writes the journal
    std::stop_token draining;        ///< ends streams of events
  };
  explicit JobsHandler(Parts parts) : parts_(std::move(parts)) {}

  void add_routes(Router& router);

 private:
  Reply create(http::Request& request, const Call& call) const;
  Reply show(const http::Request& request, const Call& call) const;
  Reply cancel(const Call& call) const;
  Reply events(const http::Request& request, const Call& call) const;
  /// Throws 404 for what is not this caller's.
  jobs::JobInfo find(const Call& call) const;

  Parts parts_;
};

}  // namespace itemcrop::service
