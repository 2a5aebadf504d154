#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "scheduler/scheduler.h"
#include "scheduler/service_times.h"
#include "scheduler/task_queue.h"

namespace itemcrop::scheduler {

inline std::exception_ptr error_of(ErrorCode code, const std::string& message) {
  return std::make_exception_ptr(Error(code, message));
}

inline double seconds_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

/// A task's end, to be reported once no lock is held.
struct Completion {
  PendingPtr pending;
  std::exception_ptr error;
  Outcome outcome = {};
  std::optional<RejectReason> dropped = {};  ///< why it was not run, for the events
};
using Completions = std::vector<Completion>;

/// One mutex guards the queue and what is known of devices; Done is called without it. Intake,
/// estimates and the end are in scheduler.cpp, a device's thread in device_worker.cpp, tasks
/// that leave the queue without being run and the thread that finds them in monitor.cpp.
class Scheduler::Impl {
 public:
  Impl(std::shared_ptr<ModelRegistry> registry, SchedulerOptions options,
       std::shared_ptr<SchedulerEvents> events);
  ~Impl() {
    drain(Clock::now());
    stop();
  }

  void submit(Task task, Done done);
  int retry_after_seconds() const;
  SchedulerStatus status() const;
  bool drain(Clock::time_point deadline);

 private:
  struct DeviceWorker {
    DeviceId id;
    std::chrono::microseconds window{};
    std::size_t max_images = 1;
    std::thread thread;

    // Guarded by mutex_.
    std::condition_variable wake;
    Interleaving interleaving;
    std::size_t limit = 1;  ///< max_images, or less after running out of memory
    int calls_since_shrink = 0;
    bool idle = true;
    bool lost = false;   ///< for good
    bool stuck = false;  ///< until its call returns
    std::string reason;
    std::vector<PendingPtr> batch;                ///< tasks that it has taken
    std::optional<Clock::time_point> call_begun;  ///< of the present call
    Clock::time_point progressed;                 ///< its latest step's start
    double call_expected = 0;                     ///< seconds
    std::uint64_t calls = 0;
    std::uint64_t images = 0;

    bool is_healthy() const { return !lost && !stuck; }
  };
  enum class Attempt { kWhole, kHalf, kAlone };

  void serve_device(DeviceWorker& device);
  void monitor();
  void stop();

  void run(DeviceWorker& device, std::span<const PendingPtr> members, Attempt attempt);
  std::vector<PendingPtr> next_batch(DeviceWorker& device);
  std::vector<PendingPtr> still_wanted(std::span<const PendingPtr> tasks);
  bool still_wanted(const Pending& pending, Clock::time_point now) const {
    return !pending.completed && !pending.task.stop.stop_requested() &&
           (!pending.task.deadline || *pending.task.deadline > now);
  }
  DetectReport call(DeviceWorker& device, const std::vector<PendingPtr>& tasks);
  void fail(std::span<const PendingPtr> tasks, const std::exception_ptr& error);
  void mark_lost(DeviceWorker& device, const std::string& reason);

  // With mutex_ held.
  std::optional<RejectedError> rejection_of(const Pending& pending, Clock::time_point arrived,
                                            Completions& completions);
  void drop_ended(Clock::time_point now, Completions& completions);
  void drop_hopeless(const DeviceWorker& device, Completions& completions);
  void fail_unservable(Completions& completions);
  void release_bytes(const Pending& pending);
  bool servable(const ServedModel& served) const;
  std::string why_unservable(const ServedModel& served) const;
  void drop(std::vector<PendingPtr> tasks, RejectReason reason, const std::exception_ptr& error,
            Completions& completions);
  double seconds_per_image(const ServedModel& served) const;
  std::optional<double> wait_for(const ServedModel& served, Priority priority,
                                 std::uint64_t finish_time) const;
  int retry_after() const;
  std::optional<RejectReason> full(Priority priority, std::size_t bytes) const;

  // Without mutex_ held.
  void admit(const Pending& pending, Clock::time_point arrived, const std::function<void()>& take);
  void complete(Completions completions);
  void publish();
  [[noreturn]] void reject(ErrorCode code, RejectReason reason, int retry_after,
                           const std::string& message);

  const std::exception_ptr cancelled_ =
      error_of(ErrorCode::kCancelled, "the request was cancelled");
  const std::exception_ptr expired_ =
      error_of(ErrorCode::kDeadlineExceeded, "the deadline passed while the request waited");
  const std::exception_ptr hopeless_ =
      error_of(ErrorCode::kDeadlineExceeded, "the deadline would pass before the answer");
  const std::shared_ptr<ModelRegistry> registry_;
  const SchedulerOptions options_;
  std::shared_ptr<SchedulerEvents> events_;

  mutable std::mutex mutex_;
  std::condition_variable monitor_wake_;  ///< wakes monitor_thread_
  std::condition_variable drained_;       ///< outstanding_ fell to 0
  TaskQueue queue_;
  ServiceTimes times_;
  std::uint64_t next_sequence_ = 0;
  std::size_t outstanding_ = 0;  ///< tasks whose Done has not returned
  std::size_t running_ = 0;      ///< tasks that a device has taken
  std::size_t held_bytes_ = 0;   ///< of waiting and running tasks
  std::size_t job_bytes_ = 0;    ///< held_bytes_ of jobs
  bool draining_ = false;
  bool dropped_in_drain_ = false;
  bool stopping_ = false;

  std::mutex publish_mutex_;  ///< so that the last on_queue carries the latest values

  std::vector<std::unique_ptr<DeviceWorker>> devices_;
  std::thread monitor_thread_;
};

}  // namespace itemcrop::scheduler
