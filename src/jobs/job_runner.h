#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "itemcrop/error.h"

#include "jobs/job_store.h"

namespace itemcrop::jobs {

/// How a processor answers for one image: exactly one of its functions takes effect, the first
/// one called. Copyable, any thread. If all copies are destroyed without a call, that is a fault().
class Completion {
 public:
  struct State;

  explicit Completion(std::shared_ptr<State> state) : state_(std::move(state)) {}

  /// The image's result (failed: it is a failure, and final).
  void operator()(std::string result, bool failed) const;
  /// Nothing wrong with the image, no room for it now (Error kOverloaded): tried again, as often
  /// as it takes. No image is begun before `after` (0: the runner's back-off).
  void busy(std::chrono::milliseconds after = {}) const;
  /// Something that may go away (a download, a store, a lost device): tried again until the budget
  /// is spent, then `result` is committed as its failure.
  void fault(std::string result) const;
  /// The error decides: kOverloaded is busy() for its retry_after_seconds(); what may go away is a
  /// fault(); anything else is final, with `result`.
  void failed(const Error& error, std::string result) const;

 private:
  std::shared_ptr<State> state_;
};

/// Processes one image: may block (each call has a thread) or answer later. The token is stopped
/// when its job is cancelled or the runner stops. A thrown Error is Completion::failed() with
/// JobRunnerOptions::failure_result, anything else final.
using Processor = std::function<void(JobImage, std::stop_token, Completion)>;

struct JobRunnerOptions {
  int concurrency = 4;   ///< images at a time, and threads, 1 to 256
  int max_attempts = 4;  ///< tries of an image in this process before a fault is final, >= 1
  std::chrono::milliseconds first_backoff{250};  ///< doubles with every try, jittered
  std::chrono::milliseconds max_backoff{30'000};
  std::chrono::seconds sweep_every{60};  ///< JobStore::sweep
  /// The result committed for an error thrown by the processor. Default:
  /// {"id": ..., "error": {"code": ..., "message": ...}}.
  std::function<std::string(const JobImage&, std::exception_ptr)> failure_result = {};
  /// Told of errors that no caller sees: the journal cannot be written (it is tried again). Must
  /// not throw.
  std::function<void(const std::string&)> on_problem = {};
};

/// Takes unfinished images from a store and has them processed, a bounded number at a time.
/// Waits on condition variables only. Thread-safe.
class JobRunner {
 public:
  /// Starts at once with what the journal has left. Throws Error(kInvalidArgument).
  JobRunner(std::shared_ptr<JobStore> store, Processor processor, JobRunnerOptions options = {});
  /// Like drain(now), then waits for processors that still block.
  ~JobRunner();
  JobRunner(const JobRunner&) = delete;
  JobRunner& operator=(const JobRunner&) = delete;

  /// JobStore::cancel, and stops the job's images in hand.
  JobInfo cancel(std::string_view id);

  std::size_t running() const;  ///< images in hand

  /// Begins no more images and waits for those in hand; at the deadline their tokens are stopped
  /// and they are left to the next start, as is everything not begun. True if all in hand ended.
  bool drain(std::chrono::steady_clock::time_point deadline);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace itemcrop::jobs
