#pragma once

#include <memory>

#include <boost/asio/thread_pool.hpp>

#include "jobs/job_store.h"
#include "service/metrics.h"
#include "service/readiness.h"
#include "service/router.h"
#include "taxonomy/taxonomy.h"

namespace itemcrop::service {

/// What operators and their programs ask: /healthz, /readyz, /metrics, /v1/models.
class HealthHandler {
 public:
  struct Parts {
    const Readiness& readiness;
    std::shared_ptr<scheduler::ModelRegistry> registry;
    std::shared_ptr<const taxonomy::Catalog> taxonomies;
    std::shared_ptr<scheduler::Scheduler> scheduler;
    std::shared_ptr<jobs::JobStore> jobs;
    std::shared_ptr<Metrics> metrics;
    boost::asio::thread_pool& pool;
  };
  explicit HealthHandler(Parts parts) : parts_(std::move(parts)) {}

  void add_routes(Router& router);

 private:
  Reply ready() const;
  Reply metrics() const;
  Reply models() const;

  Parts parts_;
};

}  // namespace itemcrop::service
