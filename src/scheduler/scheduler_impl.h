#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "scheduler/scheduler.h"
#include "scheduler/service_times.h"
#include "scheduler/work_queue.h"

namespace itemcrop::scheduler {

inline std::exception_ptr error_of(ErrorCode code, const std::string& message) {
  return std::make_exception_ptr(Error(code, message));
}

inline double seconds_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

/// An answer that is ready to be given, once no lock is held.
struct Answer {
  PendingPtr work;
  std::exception_ptr error;
  Outcome outcome = {};
  std::optional<Refusal> dropped = {};  ///< why it was not run, for the events
};
using Answers = std::vector<Answer>;

/// One mutex guards the queue and what is known of devices; answers are given without it. Intake,
/// estimates and the end are in scheduler.cpp, a device's owner in owner.cpp, what leaves the queue
/// unrun and the thread that looks for it in housekeeping.cpp.
class Scheduler::Impl {
 public:
  Impl(std::shared_ptr<ModelRegistry> registry, SchedulerOptions options,
       std::shared_ptr<SchedulerEvents> events);
  ~Impl() {
    drain(Clock::now());
    stop();
  }

  void submit(Work work, Done done);
  int retry_after_seconds() const;
  SchedulerStatus status() const;
  bool drain(Clock::time_point deadline);

 private:
  struct Owned {
    DeviceId id;
    std::chrono::microseconds window{};
    std::size_t max_images = 1;
    std::thread thread;

    // Guarded by mutex_.
    std::condition_variable wake;
    Turn turn;
    std::size_t limit = 1;  ///< max_images, or less after running out of memory
    int calls_since_shrink = 0;
    bool idle = true;
    bool lost = false;   ///< for good
    bool stuck = false;  ///< until its call returns
    std::string reason;
    std::vector<PendingPtr> batch;                ///< works that it has taken
    std::optional<Clock::time_point> call_begun;  ///< of the present call
    Clock::time_point progressed;                 ///< its latest step's start
    double call_expected = 0;                     ///< seconds
    std::uint64_t calls = 0;
    std::uint64_t images = 0;

    bool well() const { return !lost && !stuck; }
  };
  enum class Try { kWhole, kHalf, kAlone };

  void own(Owned& device);
  void keep_house();
  void stop();

  void run(Owned& device, std::span<const PendingPtr> members, Try attempt);
  std::vector<PendingPtr> next_batch(Owned& device);
  std::vector<PendingPtr> still_wanted(std::span<const PendingPtr> works);
  bool still_wanted(const Pending& work, Clock::time_point now) const {
    return !work.answered && !work.work.stop.stop_requested() &&
           (!work.work.deadline || *work.work.deadline > now);
  }
  DetectReport call(Owned& device, const std::vector<PendingPtr>& works);
  void fail(std::span<const PendingPtr> works, const std::exception_ptr& error);
  void lose(Owned& device, const std::string& reason);

  // With mutex_ held.
  std::optional<Refused> refusal_of(const Pending& pending, Clock::time_point arrived,
                                    Answers& answers);
  void sweep(Clock::time_point now, Answers& answers);
  void drop_hopeless(const Owned& device, Answers& answers);
  void fail_unservable(Answers& answers);
  void let_go(const Pending& work);
  bool servable(const ServedModel& served) const;
  std::string why_unservable(const ServedModel& served) const;
  void take_out(std::vector<PendingPtr> works, Refusal reason, const std::exception_ptr& error,
                Answers& answers);
  double seconds_per_image(const ServedModel& served) const;
  std::optional<double> wait_for(const ServedModel& served, Priority priority,
                                 std::uint64_t turn) const;
  int retry_after() const;
  std::optional<Refusal> full(Priority priority, std::size_t bytes) const;

  // Without mutex_ held.
  void admit(const Pending& pending, Clock::time_point arrived, const std::function<void()>& take);
  void answer(Answers answers);
  void publish();
  [[noreturn]] void refuse(ErrorCode code, Refusal reason, int retry_after,
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
  std::condition_variable house_;    ///< wakes the housekeeper
  std::condition_variable drained_;  ///< outstanding_ fell to 0
  WorkQueue queue_;
  ServiceTimes times_;
  std::uint64_t next_sequence_ = 0;
  std::size_t outstanding_ = 0;  ///< works whose Done has not returned
  std::size_t running_ = 0;      ///< works that a device has taken
  std::size_t held_bytes_ = 0;   ///< of waiting and running works
  std::size_t job_bytes_ = 0;    ///< held_bytes_ of jobs
  bool draining_ = false;
  bool dropped_in_drain_ = false;
  bool stopping_ = false;

  std::mutex publish_mutex_;  ///< so that the last on_queue carries the latest values

  std::vector<std::unique_ptr<Owned>> devices_;
  std::thread housekeeper_;
};

}  // namespace itemcrop::scheduler
