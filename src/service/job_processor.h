#pragma once

#include <atomic>
#include <cstddef>
#include <stop_token>

#include "jobs/job_runner.h"
#include "service/budgets.h"
#include "service/readiness.h"
#include "service/request_runner.h"

namespace itemcrop::service {

/// Processes the images of jobs, as their requests asked for.
class JobProcessor {
 public:
  struct Parts {
    const Settings& settings;
    const Readiness& readiness;
    const RequestRunner& runner;
    Pipeline& pipeline;
    Budgets& budgets;
    Pools& pools;
  };
  explicit JobProcessor(Parts parts) : parts_(parts) {}
  /// Waits for the images in hand.
  ~JobProcessor();
  JobProcessor(const JobProcessor&) = delete;
  JobProcessor& operator=(const JobProcessor&) = delete;

  /// A jobs::Processor: returns at once and completes later.
  void operator()(jobs::JobImage image, std::stop_token stop, jobs::Completion completion);

 private:
  Awaitable<void> process(jobs::JobImage image, std::stop_token stop, jobs::Completion completion);
  /// The image's result, and room for it as text.
  Awaitable<RequestResults> results_of(const jobs::JobImage& image, const CropRequest& wanted,
                                       const std::string& base_url, std::stop_token stop);

  Parts parts_;
  std::atomic<std::size_t> in_hand_ = 0;
};

}  // namespace itemcrop::service
