#include "scheduler/scheduler.h"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <new>
#include <span>
#include <thread>
#include <utility>

#include "scheduler/service_times.h"
#include "scheduler/work_queue.h"

namespace itemcrop::scheduler {
namespace {

/// How often waiting works are looked through for those that nobody waits for any more, and calls
/// for being stuck.
constexpr std::chrono::milliseconds kTick{50};
constexpr int kMaxRetryAfter = 60;
constexpr std::size_t kGpuBatch = 16;
constexpr std::chrono::microseconds kGpuWindow{2000};
/// Calls without running out of memory after which a device tries one picture more a call.
constexpr int kCallsToRecover = 32;

std::exception_ptr error_of(ErrorCode code, const std::string& message) {
  return std::make_exception_ptr(Error(code, message));
}

double seconds_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

[[noreturn]] void refuse_option(const std::string& message) {
  throw Error(ErrorCode::kInvalidArgument, message);
}

void check(const SchedulerOptions& options) {
  if (options.max_queued < 1) refuse_option("max_queued must be at least 1, got 0");
  if (options.max_queued_bytes < 1) refuse_option("max_queued_bytes must be at least 1, got 0");
  if (!(options.job_share > 0 && options.job_share <= 1)) {
    refuse_option("job_share must be above 0 and at most 1, got " +
                  std::to_string(options.job_share));
  }
  if (!(options.deadline_use > 0 && options.deadline_use <= 1)) {
    refuse_option("deadline_use must be above 0 and at most 1, got " +
                  std::to_string(options.deadline_use));
  }
  if (options.interactive_per_job < 1) {
    refuse_option("interactive_per_job must be at least 1, got " +
                  std::to_string(options.interactive_per_job));
  }
  if (options.stuck_after.count() < 1) {
    refuse_option("stuck_after must be at least 1 ms, got " +
                  std::to_string(options.stuck_after.count()));
  }
}

std::size_t picture_bytes(const ImageView& image) {
  if (image.pixels == nullptr || image.width < 1 || image.height < 1 ||
      image.stride() < std::ptrdiff_t{3} * image.width) {
    refuse_option(
        "image must have pixels, a width and a height of at least 1 and a row_stride of "
        "at least 3 * width");
  }
  return static_cast<std::size_t>(image.stride()) * static_cast<std::size_t>(image.height);
}

/// An answer that is ready to be given, once no lock is held.
struct Answer {
  PendingPtr work;
  std::exception_ptr error;
  Outcome outcome = {};
  std::optional<Refusal> dropped = {};  ///< why it was not run, for the events
};
using Answers = std::vector<Answer>;

/// What any exception of a call means for its works.
struct Fault {
  enum class Kind { kOfARequest, kOutOfMemory, kDeviceLost } kind = Kind::kOfARequest;
  std::exception_ptr error;
  std::string message;
};

Fault fault_of_current_exception() {
  try {
    throw;
  } catch (const Error& error) {
    Fault fault{Fault::Kind::kOfARequest, std::current_exception(), error.what()};
    if (error.code() == ErrorCode::kOutOfMemory) fault.kind = Fault::Kind::kOutOfMemory;
    if (error.code() == ErrorCode::kDeviceLost) fault.kind = Fault::Kind::kDeviceLost;
    return fault;
  } catch (const std::bad_alloc&) {
    return {Fault::Kind::kOutOfMemory, error_of(ErrorCode::kOutOfMemory, "out of host memory"),
            "out of host memory"};
  } catch (const std::exception& error) {
    return {Fault::Kind::kOfARequest, error_of(ErrorCode::kInternal, error.what()), error.what()};
  } catch (...) {
    return {Fault::Kind::kOfARequest, error_of(ErrorCode::kInternal, "unknown error"),
            "unknown error"};
  }
}

}  // namespace

class Scheduler::Impl {
 public:
  Impl(std::shared_ptr<ModelRegistry> registry, SchedulerOptions options,
       std::shared_ptr<SchedulerEvents> events)
      : registry_(std::move(registry)),
        options_(std::move(options)),
        events_(std::move(events)),
        queue_(options_.interactive_per_job) {
    if (registry_ == nullptr) refuse_option("the scheduler needs a model registry");
    check(options_);
    if (events_ == nullptr) events_ = std::make_shared<SchedulerEvents>();
    for (const DeviceId& id : registry_->devices()) {
      devices_.push_back(std::make_unique<Owned>());
      Owned& device = *devices_.back();
      device.id = id;
      const bool gpu = id.device != Device::kCpu;
      device.window = options_.window.value_or(gpu ? kGpuWindow : std::chrono::microseconds{0});
      device.max_images = options_.max_batch_images;
      if (device.max_images == 0) device.max_images = gpu ? kGpuBatch : 1;
      device.limit = device.max_images;
    }
    try {
      for (const auto& device : devices_) {
        device->thread = std::thread([this, &device = *device] { own(device); });
      }
      housekeeper_ = std::thread([this] { keep_house(); });
    } catch (...) {
      stop();
      throw;
    }
  }

  ~Impl() {
    drain(Clock::now());
    stop();
  }

  void submit(Work work, Done done);
  int retry_after_seconds() const {
    const std::lock_guard lock(mutex_);
    return retry_after();
  }
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
    double call_expected = 0;                     ///< seconds
    std::uint64_t calls = 0;
    std::uint64_t images = 0;

    bool well() const { return !lost && !stuck; }
  };
  enum class Try { kWhole, kHalf, kAlone };

  void own(Owned& device);
  void keep_house();
  void stop();

  void run(Owned& device, std::span<const PendingPtr> works, Try attempt);
  std::vector<PendingPtr> next_batch(Owned& device);
  std::vector<PendingPtr> still_wanted(std::span<const PendingPtr> works);
  DetectReport call(Owned& device, const std::vector<PendingPtr>& works);
  void fail(std::span<const PendingPtr> works, const std::exception_ptr& error);
  void lose(Owned& device, const std::string& reason);

  // With mutex_ held.
  void sweep(Clock::time_point now, Answers& answers);
  void drop_hopeless(const Owned& device, Answers& answers);
  void fail_unservable(Answers& answers);
  void let_go(const Pending& work);
  bool servable(const ServedModel& served) const;
  std::string why_unservable(const ServedModel& served) const;
  void take_out(std::vector<PendingPtr> works, Refusal reason, const std::exception_ptr& error,
                Answers& answers);
  double seconds_per_image(const ServedModel& served) const;
  std::optional<double> wait_for(const ServedModel& served, Priority priority) const;
  int retry_after() const;
  bool full(Priority priority, std::size_t bytes, Refusal& reason) const;

  // Without mutex_ held.
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

// ---- Intake ---------------------------------------------------------------------------------

void Scheduler::Impl::refuse(ErrorCode code, Refusal reason, int retry_after,
                             const std::string& message) {
  events_->on_refused(reason);
  throw Refused(code, reason, retry_after, message);
}

bool Scheduler::Impl::full(Priority priority, std::size_t bytes, Refusal& reason) const {
  const bool job = priority == Priority::kJob;
  const double share = job ? options_.job_share : 1;
  const auto part = [share](std::size_t whole) {
    return std::max<std::size_t>(1, static_cast<std::size_t>(share * static_cast<double>(whole)));
  };
  reason = Refusal::kQueueFull;
  if (queue_.size() >= options_.max_queued) return true;
  if (job && queue_.size(Priority::kJob) >= part(options_.max_queued)) return true;
  reason = Refusal::kBytesFull;
  if (held_bytes_ != 0 && held_bytes_ + bytes > options_.max_queued_bytes) return true;
  return job && job_bytes_ != 0 && job_bytes_ + bytes > part(options_.max_queued_bytes);
}

void Scheduler::Impl::submit(Work work, Done done) {
  const Clock::time_point arrived = Clock::now();
  const std::size_t bytes = picture_bytes(work.request.image);
  if (work.stop.stop_requested()) {
    refuse(ErrorCode::kCancelled, Refusal::kCancelled, 1, "the request was cancelled");
  }
  if (work.deadline && *work.deadline <= arrived) {
    refuse(ErrorCode::kDeadlineExceeded, Refusal::kExpired, 1,
           "the deadline passed before the request could wait");
  }
  auto pending = std::make_shared<Pending>();
  try {
    pending->served = registry_->get(work.model);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kUnavailable) throw;
    refuse(error.code(), Refusal::kModelNotReady, 2, error.what());
  }
  const ServedModel& served = *pending->served;
  pending->done = std::move(done);
  pending->arrived = arrived;
  pending->bytes = bytes;
  pending->work = std::move(work);
  const Work& kept = pending->work;

  // Twice: overload is refused before the estimate is paid for, and the queue may have filled
  // since.
  const bool estimated = options_.max_batch_bytes != 0;
  for (const bool last : {!estimated, true}) {
    Answers answers;
    std::optional<Refused> refused;
    {
      const std::lock_guard lock(mutex_);
      Refusal reason{};
      if (draining_) {
        refused.emplace(ErrorCode::kUnavailable, Refusal::kDraining, 5,
                        "the service is shutting down");
      } else if (!servable(served)) {
        refused.emplace(ErrorCode::kDeviceLost, Refusal::kDeviceDown, 5, why_unservable(served));
      } else {
        bool is_full = full(kept.priority, bytes, reason);
        if (is_full) {  // with works that nobody waits for?
          sweep(arrived, answers);
          is_full = full(kept.priority, bytes, reason);
        }
        if (is_full) {
          const std::string what =
              reason == Refusal::kQueueFull
                  ? std::to_string(queue_.size()) + " requests wait already (max_queued " +
                        std::to_string(options_.max_queued) + ")"
                  : "the waiting pictures hold " + std::to_string(held_bytes_) +
                        " bytes already (max_queued_bytes " +
                        std::to_string(options_.max_queued_bytes) + ")";
          refused.emplace(ErrorCode::kOverloaded, reason, retry_after(), "overloaded: " + what);
        } else if (options_.refuse_hopeless && kept.deadline) {
          const std::optional<double> wait = wait_for(served, kept.priority);
          const double left = seconds_between(arrived, *kept.deadline);
          if (wait && *wait > left * options_.deadline_use) {
            refused.emplace(ErrorCode::kOverloaded, Refusal::kHopeless, retry_after(),
                            "overloaded: the answer would take about " +
                                std::to_string(std::lround(*wait * 1000)) +
                                " ms, the deadline is in " +
                                std::to_string(std::lround(left * 1000)) + " ms");
          }
        }
      }
      if (!refused && last) {
        pending->sequence = next_sequence_++;
        held_bytes_ += bytes;
        if (kept.priority == Priority::kJob) job_bytes_ += bytes;
        if (outstanding_++ == 0) house_.notify_one();
        queue_.push(pending);
        for (const auto& device : devices_) {
          if (device->idle && served.replica(device->id) != nullptr) device->wake.notify_one();
        }
      }
    }
    answer(std::move(answers));
    if (refused) {
      events_->on_refused(refused->reason());
      throw Refused(*refused);
    }
    if (!last) {
      pending->workspace_bytes = served.estimates.workspace_bytes(
          *served.model, std::span(&kept.request, 1), served.replicas.front().options);
    } else {
      break;
    }
  }
  publish();
}

// ---- Estimates ------------------------------------------------------------------------------

double Scheduler::Impl::seconds_per_image(const ServedModel& served) const {
  double rate = 0;
  for (const auto& device : devices_) {
    const Replica* replica = served.replica(device->id);
    if (replica == nullptr || !device->well()) continue;
    const double seconds = times_.find(served.name, *replica).per_image;
    if (seconds > 0) rate += 1 / seconds;
  }
  return rate > 0 ? 1 / rate : 0;
}

/// Seconds until a work that comes now would be answered; none: nothing is ahead of it, or nothing
/// is known. (Something must be let in for the averages to stay true.)
std::optional<double> Scheduler::Impl::wait_for(const ServedModel& served,
                                                Priority priority) const {
  const Clock::time_point now = Clock::now();
  double free_in = std::numeric_limits<double>::infinity();
  double own_call = std::numeric_limits<double>::infinity();
  bool known = false;
  for (const auto& device : devices_) {
    const Replica* replica = served.replica(device->id);
    if (replica == nullptr || !device->well()) continue;
    double remaining = 0;
    if (device->call_begun) {
      remaining = std::max(0.0, device->call_expected - seconds_between(*device->call_begun, now));
    }
    free_in = std::min(free_in, remaining);
    const double call = times_.find(served.name, *replica).per_call;
    if (call > 0) {
      known = true;
      own_call = std::min(own_call, call);
    }
  }
  double ahead = 0;
  bool anything_ahead = false;
  for (const WorkQueue::Lane& lane : queue_.lanes()) {
    const bool shares_device = std::ranges::any_of(devices_, [&](const auto& device) {
      return device->well() && served.replica(device->id) != nullptr &&
             lane.served->replica(device->id) != nullptr;
    });
    if (!shares_device) continue;
    const auto interactive = static_cast<double>(lane.of(Priority::kInteractive).size());
    auto jobs = static_cast<double>(lane.of(Priority::kJob).size());
    if (priority == Priority::kInteractive) {
      jobs = std::min(jobs, std::ceil(interactive / options_.interactive_per_job));
    }
    anything_ahead = anything_ahead || interactive + jobs > 0;
    ahead += (interactive + jobs) * seconds_per_image(*lane.served);
  }
  if (!known || !anything_ahead) return std::nullopt;
  return free_in + ahead + own_call;
}

int Scheduler::Impl::retry_after() const {
  double seconds = 0;
  for (const WorkQueue::Lane& lane : queue_.lanes()) {
    const std::size_t works =
        lane.of(Priority::kInteractive).size() + lane.of(Priority::kJob).size();
    seconds += static_cast<double>(works) * seconds_per_image(*lane.served);
  }
  return static_cast<int>(std::clamp(std::ceil(seconds), 1.0, double{kMaxRetryAfter}));
}

// ---- Answers --------------------------------------------------------------------------------

void Scheduler::Impl::answer(Answers answers) {
  if (answers.empty()) return;
  for (Answer& ready : answers) {
    if (ready.dropped) events_->on_refused(*ready.dropped);
    try {
      if (ready.work->done) ready.work->done(ready.error, std::move(ready.outcome));
    } catch (...) {
      // Its own business: the other works' answers must still be given.
    }
    ready.work->done = nullptr;
  }
  const std::size_t given = answers.size();
  answers.clear();
  {
    const std::lock_guard lock(mutex_);
    outstanding_ -= given;
    if (outstanding_ == 0) drained_.notify_all();
  }
}

void Scheduler::Impl::publish() {
  const std::lock_guard order(publish_mutex_);
  std::size_t works = 0;
  std::size_t bytes = 0;
  {
    const std::lock_guard lock(mutex_);
    works = queue_.size();
    bytes = held_bytes_;
  }
  events_->on_queue(works, bytes);
}

void Scheduler::Impl::let_go(const Pending& work) {
  held_bytes_ -= work.bytes;
  if (work.work.priority == Priority::kJob) job_bytes_ -= work.bytes;
}

/// Works that leave the queue without being run.
void Scheduler::Impl::take_out(std::vector<PendingPtr> works, Refusal reason,
                               const std::exception_ptr& error, Answers& answers) {
  for (PendingPtr& work : works) {
    let_go(*work);
    work->answered = true;
    answers.push_back({std::move(work), error, {}, reason});
  }
}

void Scheduler::Impl::sweep(Clock::time_point now, Answers& answers) {
  take_out(queue_.remove_if([](const Pending& work) { return work.work.stop.stop_requested(); }),
           Refusal::kCancelled, cancelled_, answers);
  take_out(queue_.remove_if([now](const Pending& work) {
    return work.work.deadline && *work.work.deadline <= now;
  }),
           Refusal::kExpired, expired_, answers);
}

/// Works that would begin in time and end too late. Without this a queue that has fallen behind
/// runs one such work after the other and nobody is served. One work is always kept, so that the
/// averages stay true.
void Scheduler::Impl::drop_hopeless(const Owned& device, Answers& answers) {
  if (!options_.refuse_hopeless) return;
  std::size_t left = 0;
  for (const WorkQueue::Lane& lane : queue_.lanes()) {
    if (lane.served->replica(device.id) == nullptr) continue;
    for (const auto& works : lane.waiting) left += works.size();
  }
  const Clock::time_point now = Clock::now();
  take_out(queue_.remove_if([&](const Pending& work) {
    if (left <= 1 || !work.work.deadline) return false;
    const Replica* replica = work.served->replica(device.id);
    if (replica == nullptr) return false;
    const double call = times_.find(work.served->name, *replica).per_call;
    if (seconds_between(now, *work.work.deadline) >= call) return false;
    --left;
    return true;
  }),
           Refusal::kHopeless, hopeless_, answers);
}

bool Scheduler::Impl::servable(const ServedModel& served) const {
  return std::ranges::any_of(devices_, [&](const auto& device) {
    return device->well() && served.replica(device->id) != nullptr;
  });
}

std::string Scheduler::Impl::why_unservable(const ServedModel& served) const {
  std::string reasons;
  for (const auto& device : devices_) {
    if (served.replica(device->id) == nullptr) continue;
    reasons += (reasons.empty() ? "" : "; ") + to_string(device->id) + ": " + device->reason;
  }
  return "no device of model \"" + served.name + "\" is well: " + reasons;
}

void Scheduler::Impl::fail_unservable(Answers& answers) {
  std::vector<std::shared_ptr<const ServedModel>> stranded;
  for (const WorkQueue::Lane& lane : queue_.lanes()) {
    if (!servable(*lane.served)) stranded.push_back(lane.served);
  }
  for (const auto& served : stranded) {
    take_out(queue_.remove_if([&](const Pending& work) { return work.served == served; }),
             Refusal::kDeviceDown, error_of(ErrorCode::kDeviceLost, why_unservable(*served)),
             answers);
  }
}

// ---- A device's owner -----------------------------------------------------------------------

void Scheduler::Impl::own(Owned& device) {
  for (;;) {
    const std::vector<PendingPtr> batch = next_batch(device);
    if (batch.empty()) return;
    publish();
    const Clock::time_point begun = Clock::now();
    for (const PendingPtr& work : batch) {
      events_->on_wait(work->work.priority, seconds_between(work->arrived, begun));
    }
    run(device, batch, Try::kWhole);
    {
      const std::lock_guard lock(mutex_);
      for (const PendingPtr& work : batch) let_go(*work);
      running_ -= batch.size();
      device.batch.clear();
      device.idle = true;
    }
    publish();
  }
}

/// Waits for works, and for company within the window. Empty: the owner's time is over.
std::vector<PendingPtr> Scheduler::Impl::next_batch(Owned& device) {
  for (;;) {
    Answers dropped;
    {
      std::unique_lock lock(mutex_);
      while (dropped.empty()) {
        if (stopping_ || device.lost) return {};
        sweep(Clock::now(), dropped);
        drop_hopeless(device, dropped);
        if (!dropped.empty()) break;
        const std::optional<WorkQueue::Preview> next = queue_.preview(device.id, device.turn);
        if (!next) {
          device.wake.wait(lock);
          continue;
        }
        const Clock::time_point until = next->oldest + device.window;
        if (next->works < device.limit && !draining_ && Clock::now() < until) {
          device.wake.wait_until(lock, until);
          continue;
        }
        device.batch =
            queue_.take(device.id, {device.limit, options_.max_batch_bytes}, device.turn);
        device.idle = false;
        running_ += device.batch.size();
        return device.batch;
      }
    }
    answer(std::move(dropped));
    publish();
  }
}

/// Members of a batch that somebody still waits for; the others are answered.
std::vector<PendingPtr> Scheduler::Impl::still_wanted(std::span<const PendingPtr> works) {
  const Clock::time_point now = Clock::now();
  std::vector<PendingPtr> wanted;
  Answers answers;
  {
    const std::lock_guard lock(mutex_);
    for (const PendingPtr& work : works) {
      if (work->answered) continue;
      if (work->work.stop.stop_requested()) {
        answers.push_back({work, cancelled_, {}, Refusal::kCancelled});
      } else if (work->work.deadline && *work->work.deadline <= now) {
        answers.push_back({work, expired_, {}, Refusal::kExpired});
      } else {
        wanted.push_back(work);
        continue;
      }
      work->answered = true;
    }
  }
  answer(std::move(answers));
  return wanted;
}

void Scheduler::Impl::fail(std::span<const PendingPtr> works, const std::exception_ptr& error) {
  Answers answers;
  {
    const std::lock_guard lock(mutex_);
    for (const PendingPtr& work : works) {
      if (!std::exchange(work->answered, true)) answers.push_back({work, error});
    }
  }
  answer(std::move(answers));
}

DetectReport Scheduler::Impl::call(Owned& device, const std::vector<PendingPtr>& works) {
  const ServedModel& served = *works.front()->served;
  const Replica& replica = *served.replica(device.id);
  std::vector<DetectRequest> requests;
  requests.reserve(works.size());
  // Copies of words and numbers: a retry needs the originals. Pixels are borrowed.
  for (const PendingPtr& work : works) requests.push_back(work->work.request);

  const Clock::time_point begun = Clock::now();
  {
    const std::lock_guard lock(mutex_);
    device.call_begun = begun;
    device.call_expected =
        times_.find(served.name, replica).per_image * static_cast<double>(works.size());
  }
  const auto end = [&](bool well) {
    const double seconds = seconds_between(begun, Clock::now());
    bool recovered = false;
    {
      const std::lock_guard lock(mutex_);
      device.call_begun.reset();
      ++device.calls;
      device.images += works.size();
      recovered = std::exchange(device.stuck, false);
      if (recovered) device.reason.clear();
      if (well) {
        times_.add(served.name, device.id, works.size(), seconds);
        if (device.limit < device.max_images && ++device.calls_since_shrink >= kCallsToRecover) {
          ++device.limit;
          device.calls_since_shrink = 0;
        }
      }
    }
    events_->on_batch(device.id, works.size(), seconds);
    if (recovered) events_->on_device(device.id, true, "");
  };
  try {
    DetectReport report = served.model->detect(requests, replica.options);
    if (report.results.size() != works.size()) {
      throw Error(ErrorCode::kInternal, "the model gave " + std::to_string(report.results.size()) +
                                            " results for " + std::to_string(works.size()) +
                                            " requests");
    }
    end(true);
    return report;
  } catch (...) {
    end(false);
    throw;
  }
}

void Scheduler::Impl::run(Owned& device, std::span<const PendingPtr> members, Try attempt) {
  const std::vector<PendingPtr> works = still_wanted(members);
  if (works.empty()) return;
  {
    std::unique_lock lock(mutex_);
    if (device.lost) {
      const std::string reason = device.reason;
      lock.unlock();
      return fail(works, error_of(ErrorCode::kDeviceLost, reason));
    }
  }
  const auto each_alone = [&] {
    for (const PendingPtr& work : works) run(device, std::span(&work, 1), Try::kAlone);
  };
  const Clock::time_point begun = Clock::now();
  DetectReport report;
  try {
    report = call(device, works);
  } catch (...) {
    const Fault fault = fault_of_current_exception();
    switch (fault.kind) {
      case Fault::Kind::kDeviceLost:
        return lose(device, fault.message);
      case Fault::Kind::kOfARequest:
        if (works.size() > 1) return each_alone();
        return fail(works, fault.error);
      case Fault::Kind::kOutOfMemory:
        break;
    }
    if (attempt == Try::kWhole) {
      {
        const std::lock_guard lock(mutex_);
        device.limit = std::max<std::size_t>(1, works.size() / 2);
        device.calls_since_shrink = 0;
      }
      if (works.size() == 1) return run(device, works, Try::kAlone);
      const std::span<const PendingPtr> all(works);
      run(device, all.first(works.size() / 2), Try::kHalf);
      return run(device, all.subspan(works.size() / 2), Try::kHalf);
    }
    if (works.size() > 1) return each_alone();
    return fail(works, fault.error);
  }

  const double batch_ms = 1000 * seconds_between(begun, Clock::now());
  Answers answers;
  {
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < works.size(); ++i) {
      const PendingPtr& work = works[i];
      if (std::exchange(work->answered, true)) continue;  // given up while the device was stuck
      Outcome outcome;
      outcome.result = std::move(report.results[i]);
      outcome.model = work->served->name;
      outcome.generation = work->served->generation;
      outcome.device = device.id;
      outcome.device_name = report.device_name;
      outcome.precision = report.precision;
      outcome.queue_ms = 1000 * seconds_between(work->arrived, begun);
      outcome.batch_ms = batch_ms;
      outcome.batch_images = works.size();
      answers.push_back({work, nullptr, std::move(outcome)});
    }
  }
  answer(std::move(answers));
}

void Scheduler::Impl::lose(Owned& device, const std::string& reason) {
  const std::string message = to_string(device.id) + " is lost: " + reason;
  const std::exception_ptr error = error_of(ErrorCode::kDeviceLost, message);
  Answers answers;
  {
    const std::lock_guard lock(mutex_);
    device.lost = true;
    device.reason = message;
    for (const PendingPtr& work : device.batch) {
      if (!std::exchange(work->answered, true)) answers.push_back({work, error});
    }
    fail_unservable(answers);
  }
  events_->on_device(device.id, false, message);
  answer(std::move(answers));
  publish();
  if (options_.on_device_lost) options_.on_device_lost(device.id, message);
}

// ---- Housekeeping ---------------------------------------------------------------------------

void Scheduler::Impl::keep_house() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (outstanding_ == 0 && running_ == 0) {
      house_.wait(lock);
      continue;
    }
    const Clock::time_point now = Clock::now();
    Answers answers;
    sweep(now, answers);
    std::vector<std::pair<DeviceId, std::string>> unwell;
    for (const auto& device : devices_) {
      if (!device->well() || !device->call_begun ||
          now - *device->call_begun < options_.stuck_after) {
        continue;
      }
      device->stuck = true;
      device->reason = to_string(device->id) + " has not answered for " +
                       std::to_string(options_.stuck_after.count()) + " ms";
      unwell.emplace_back(device->id, device->reason);
      const auto error = error_of(ErrorCode::kDeviceLost, device->reason);
      for (const PendingPtr& work : device->batch) {
        // Its pixels are still being read: the batch keeps them, and counts them, until it ends.
        if (!std::exchange(work->answered, true)) answers.push_back({work, error});
      }
    }
    if (!unwell.empty()) fail_unservable(answers);
    if (!answers.empty() || !unwell.empty()) {
      lock.unlock();
      for (const auto& [id, reason] : unwell) events_->on_device(id, false, reason);
      answer(std::move(answers));
      publish();
      lock.lock();
      continue;
    }
    Clock::time_point wake = now + kTick;
    for (const WorkQueue::Lane& lane : queue_.lanes()) {
      for (const auto& works : lane.waiting) {
        for (const PendingPtr& work : works) {
          if (work->work.deadline) wake = std::min(wake, *work->work.deadline);
        }
      }
    }
    house_.wait_until(lock, wake);
  }
}

SchedulerStatus Scheduler::Impl::status() const {
  const Clock::time_point now = Clock::now();
  SchedulerStatus result;
  std::shared_ptr<const ServedModel> served;
  try {
    served = registry_->get();
  } catch (const Error&) {  // not ready: no estimate
  }
  const std::lock_guard lock(mutex_);
  result.queued_interactive = queue_.size(Priority::kInteractive);
  result.queued_jobs = queue_.size(Priority::kJob);
  result.running = running_;
  result.held_bytes = held_bytes_;
  result.draining = draining_;
  if (served != nullptr) {
    result.estimated_wait_seconds = wait_for(*served, Priority::kInteractive).value_or(0);
  }
  for (const auto& device : devices_) {
    DeviceStatus status{.id = device->id,
                        .well = device->well(),
                        .reason = device->reason,
                        .busy = device->call_begun.has_value(),
                        .busy_seconds = 0,
                        .batches = device->calls,
                        .images = device->images};
    if (status.busy) status.busy_seconds = seconds_between(*device->call_begun, now);
    result.devices.push_back(std::move(status));
  }
  return result;
}

// ---- The end --------------------------------------------------------------------------------

bool Scheduler::Impl::drain(Clock::time_point deadline) {
  Answers answers;
  bool all_run = false;
  {
    std::unique_lock lock(mutex_);
    draining_ = true;
    for (const auto& device : devices_) device->wake.notify_all();
    const auto idle = [this] { return outstanding_ == 0; };
    if (!drained_.wait_until(lock, deadline, idle)) {
      take_out(queue_.remove_if([](const Pending&) { return true; }), Refusal::kDraining,
               error_of(ErrorCode::kUnavailable, "the service is shutting down"), answers);
      dropped_in_drain_ = dropped_in_drain_ || !answers.empty();
    }
    all_run = outstanding_ == 0 && !dropped_in_drain_;
  }
  answer(std::move(answers));
  return all_run;
}

void Scheduler::Impl::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const auto& device : devices_) device->wake.notify_all();
    house_.notify_all();
  }
  for (const auto& device : devices_) {
    if (device->thread.joinable()) device->thread.join();
  }
  if (housekeeper_.joinable()) housekeeper_.join();
}

Scheduler::Scheduler(std::shared_ptr<ModelRegistry> registry, SchedulerOptions options,
                     std::shared_ptr<SchedulerEvents> events)
    : impl_(std::make_unique<Impl>(std::move(registry), std::move(options), std::move(events))) {}
Scheduler::~Scheduler() = default;

void Scheduler::submit(Work work, Done done) { impl_->submit(std::move(work), std::move(done)); }
int Scheduler::retry_after_seconds() const { return impl_->retry_after_seconds(); }
SchedulerStatus Scheduler::status() const { return impl_->status(); }
bool Scheduler::drain(Clock::time_point deadline) { return impl_->drain(deadline); }

}  // namespace itemcrop::scheduler
