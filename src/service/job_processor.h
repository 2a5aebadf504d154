#pragma once

#include <atomic>
#include <cstddef>
#include <stop_token>

#include <boost/asio/thread_pool.hpp>

#include "jobs/job_runner.h"
#include "service/cutter.h"
#include "service/readiness.h"

namespace itemcrop::service {

/// Cuts the images of jobs, as their requests asked for.
class JobProcessor {
 public:
  struct Parts {
    const Settings& settings;
    const Readiness& readiness;
    Cutter& cutter;
    boost::asio::thread_pool& pool;
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

  Parts parts_;
  std::atomic<std::size_t> in_hand_ = 0;
};

}  // namespace itemcrop::service
