#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "itemcrop/model.h"

#include "scheduler/model_registry.h"
#include "scheduler/scheduler_events.h"

namespace itemcrop::scheduler {

using Clock = std::chrono::steady_clock;

/// One image to search.
struct Task {
  std::string model;                       ///< ModelConfig::name; empty: the default model
  std::shared_ptr<const void> keep_alive;  ///< owns request.image's pixels; held until done
  DetectRequest request;
  Priority priority = Priority::kInteractive;
  std::string caller = {};  ///< who shares the devices with others; empty: all such are one
  /// A call that only tasks past their deadlines or stopped ones wait for ends within a step.
  std::optional<Clock::time_point> deadline = {};
  std::stop_token stop = {};  ///< stopped: the result will not be read
};

/// A task's result and where it came from.
struct Outcome {
  DetectResult result;
  std::string model;             ///< its name, also where the default was asked for
  std::uint64_t generation = 0;  ///< which load of that model
  DeviceId device;
  std::string device_name;  ///< as in DetectReport
  Precision precision = Precision::kFp32;
  double queue_ms = 0;           ///< from submit() to the start of its (last) batch
  double batch_ms = 0;           ///< its batch's whole call
  std::size_t batch_images = 0;  ///< images in that call
};

/// Exactly once for every task that submit() took: null and the outcome, or an Error and an empty
/// outcome. Called on a worker thread, the monitor thread or in drain(): must be quick; what it
/// throws is ignored. May call submit().
///
/// Errors: kDeadlineExceeded (passed while it waited or ran, or would pass), kCancelled (its stop
/// token), kOutOfMemory, kDeviceLost (lost or stuck), kUnavailable (shut down while it waited), and
/// what Model::detect throws for this one request.
using Done = std::function<void(std::exception_ptr, Outcome)>;

/// Thrown by submit(), with retry_after_seconds() of 1 to 60. code(): kOverloaded (queue full,
/// hopeless), kDraining, kUnavailable (model not ready), kDeviceLost (no healthy device),
/// kDeadlineExceeded or kCancelled (already so).
class RejectedError : public Error {
 public:
  RejectedError(ErrorCode code, RejectReason reason, int retry_after_seconds,
                const std::string& message)
      : Error(Error(code, message).with_retry_after(retry_after_seconds)), reason_(reason) {}

  RejectReason reason() const noexcept { return reason_; }

 private:
  RejectReason reason_;
};

struct SchedulerOptions {
  std::size_t max_queued = 256;  ///< tasks that wait, all models and devices together, >= 1
  /// Image bytes of tasks that wait or run, >= 1. A single larger image is taken when nothing
  /// else is held.
  std::size_t max_queued_bytes = std::size_t{1} << 30;
  double job_share = 0.5;  ///< share of both bounds that tasks of Priority::kJob may fill, (0, 1]
  std::size_t max_batch_images = 0;  ///< images a call; 0: 16 on a GPU, 1 on a CPU
  /// Activation bytes a call (Model::estimate) on every device; 0: no limit. An image that is over
  /// it alone runs alone.
  std::size_t max_batch_bytes = 0;
  /// How long the oldest waiting task may be held back so that more can join its
  /// batch; none: 2 ms on a GPU, 0 on a CPU.
  std::optional<std::chrono::microseconds> window = {};
  /// While jobs wait, every (this + 1)th image taken is a job's, >= 1.
  int interactive_per_job = 8;
  /// Refuse at once what would wait past its deadline, by the moving average of service times, and
  /// drop what has fallen behind so far that it would begin in time and end too late.
  bool refuse_hopeless = true;
  /// Share of the time to the deadline that the estimated wait and service may take, (0, 1].
  double deadline_use = 0.9;
  /// A call of which a step (DetectOptions::keep_going) takes longer marks its device as not
  /// healthy until it returns.
  std::chrono::milliseconds stuck_after{30'000};
  /// Called once a device when it is lost (Error kDeviceLost from the model), after its tasks were
  /// completed and its status changed; for the process to exit. On the device's worker thread.
  std::function<void(const DeviceId&, const std::string& reason)> on_device_lost = {};
};

struct DeviceStatus {
  DeviceId id;
  bool healthy = true;
  std::string reason;         ///< why not healthy
  bool busy = false;          ///< a call is running
  double busy_seconds = 0;    ///< since when
  std::uint64_t batches = 0;  ///< calls so far
  std::uint64_t images = 0;   ///< images in them
};

/// Gauges, all taken at one moment.
struct SchedulerStatus {
  std::size_t queued_interactive = 0;
  std::size_t queued_jobs = 0;
  std::size_t running = 0;            ///< tasks in calls
  std::size_t held_bytes = 0;         ///< image bytes of all of these
  double estimated_wait_seconds = 0;  ///< of an interactive tasks that came now; 0 if not known yet
  bool draining = false;
  std::vector<DeviceStatus> devices;
};

/// Runs tasks on the devices of a registry: one worker thread a device, one bounded queue for all.
///
/// **Choice.** A device that becomes free takes the next task it can serve, so tasks go to the
/// least loaded device by itself. Within a priority callers share the devices evenly, by passes of
/// the model: a task's virtual finish time is its caller's last one, or the present one if later,
/// plus its passes, and the least goes first (of one caller's tasks: the oldest). Interactive
/// before jobs, except that with jobs waiting one in every `interactive_per_job + 1` images is a
/// job's. A batch takes more tasks of the same loaded model by the same rule, within
/// max_batch_images and max_batch_bytes; jobs do not fill the rest of an interactive batch, which
/// would only slow it.
///
/// **Faults.** If a batch fails, each of its tasks runs alone and gets its own
/// result. Out of memory halves the batch (one image: tries again), then runs those of a half
/// that fails again alone; what fails alone too gets kOutOfMemory. kDeviceLost marks the device
/// down for good; its tasks, and waiting ones that no healthy device serves, fail at once. A call
/// that makes no progress for stuck_after does the same until it returns.
///
/// Thread-safe.
class Scheduler {
 public:
  /// `registry` and `events` (may be null) are shared with the caller. Throws
  /// Error(kInvalidArgument) for options out of range.
  explicit Scheduler(std::shared_ptr<ModelRegistry> registry, SchedulerOptions options = {},
                     std::shared_ptr<SchedulerEvents> events = nullptr);
  /// Like drain(now), then waits for the calls that run.
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  /// Takes a task, or throws and never calls `done`: RejectedError, and at once; Error(kNotFound)
  /// for an unknown model; Error(kInvalidArgument) for null pixels; what Model::count_passes says
  /// of the items; with max_batch_bytes set also what Model::estimate says of the request (it runs
  /// here, about a millisecond for a size and prompt not seen lately).
  void submit(Task task, Done done);

  /// What RejectedError would carry now: seconds until the queue should be empty, 1 to 60.
  int retry_after_seconds() const;

  SchedulerStatus status() const;

  /// Stops intake and finishes what waits; at the deadline what still waits fails with
  /// kUnavailable. Returns when nothing waits or runs, or at the deadline: true if everything was
  /// run.
  bool drain(Clock::time_point deadline);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace itemcrop::scheduler
