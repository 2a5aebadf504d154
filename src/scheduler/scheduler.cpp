#include "scheduler/scheduler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "scheduler/scheduler_impl.h"

namespace itemcrop::scheduler {
namespace {

constexpr int kMaxRetryAfter = 60;
constexpr std::size_t kGpuBatch = 16;
constexpr std::chrono::microseconds kGpuWindow{2000};

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

std::size_t image_bytes(const ImageView& image) {
  if (image.pixels == nullptr || image.width < 1 || image.height < 1 ||
      image.stride() < std::ptrdiff_t{3} * image.width) {
    refuse_option(
        "image must have pixels, a width and a height of at least 1 and a row_stride of "
        "at least 3 * width");
  }
  return static_cast<std::size_t>(image.stride()) * static_cast<std::size_t>(image.height);
}

}  // namespace

Scheduler::Impl::Impl(std::shared_ptr<ModelRegistry> registry, SchedulerOptions options,
                      std::shared_ptr<SchedulerEvents> events)
    : registry_(std::move(registry)),
      options_(std::move(options)),
      events_(std::move(events)),
      queue_(options_.interactive_per_job) {
  if (registry_ == nullptr) refuse_option("the scheduler needs a model registry");
  check(options_);
  if (events_ == nullptr) events_ = std::make_shared<SchedulerEvents>();
  for (const DeviceId& id : registry_->devices()) {
    devices_.push_back(std::make_unique<DeviceWorker>());
    DeviceWorker& device = *devices_.back();
    device.id = id;
    const bool gpu = id.device != Device::kCpu;
    device.window = options_.window.value_or(gpu ? kGpuWindow : std::chrono::microseconds{0});
    device.max_images = options_.max_batch_images;
    if (device.max_images == 0) device.max_images = gpu ? kGpuBatch : 1;
    device.limit = device.max_images;
  }
  try {
    for (const auto& device : devices_) {
      device->thread = std::thread([this, &device = *device] { serve_device(device); });
    }
    monitor_thread_ = std::thread([this] { monitor(); });
  } catch (...) {
    stop();
    throw;
  }
}

// ---- Intake ---------------------------------------------------------------------------------

void Scheduler::Impl::reject(ErrorCode code, RejectReason reason, int retry_after,
                             const std::string& message) {
  events_->on_rejected(reason);
  throw RejectedError(code, reason, retry_after, message);
}

/// The limit that a task of so many bytes would exceed.
std::optional<RejectReason> Scheduler::Impl::full(Priority priority, std::size_t bytes) const {
  const bool job = priority == Priority::kJob;
  const double share = job ? options_.job_share : 1;
  const auto part = [share](std::size_t whole) {
    return std::max<std::size_t>(1, static_cast<std::size_t>(share * static_cast<double>(whole)));
  };
  if (queue_.size() >= options_.max_queued ||
      (job && queue_.size(Priority::kJob) >= part(options_.max_queued))) {
    return RejectReason::kQueueFull;
  }
  if ((held_bytes_ != 0 && held_bytes_ + bytes > options_.max_queued_bytes) ||
      (job && job_bytes_ != 0 && job_bytes_ + bytes > part(options_.max_queued_bytes))) {
    return RejectReason::kBytesFull;
  }
  return std::nullopt;
}

/// Why a task that comes now cannot be taken; none: it can.
std::optional<RejectedError> Scheduler::Impl::rejection_of(const Pending& pending,
                                                           Clock::time_point arrived,
                                                           Completions& completions) {
  const ServedModel& served = *pending.served;
  const Task& task = pending.task;
  if (draining_) {
    return RejectedError(ErrorCode::kDraining, RejectReason::kDraining, 5,
                         "the service is shutting down");
  }
  if (!servable(served)) {
    return RejectedError(ErrorCode::kDeviceLost, RejectReason::kDeviceDown, 5,
                         why_unservable(served));
  }
  std::optional<RejectReason> lacks = full(task.priority, pending.bytes);
  if (lacks) {  // perhaps by tasks that are cancelled or expired
    drop_ended(arrived, completions);
    lacks = full(task.priority, pending.bytes);
  }
  if (lacks == RejectReason::kQueueFull) {
    return RejectedError(ErrorCode::kOverloaded, *lacks, retry_after(),
                         "overloaded: " + std::to_string(queue_.size()) +
                             " requests wait already (max_queued " +
                             std::to_string(options_.max_queued) + ")");
  }
  if (lacks == RejectReason::kBytesFull) {
    return RejectedError(ErrorCode::kOverloaded, *lacks, retry_after(),
                         "overloaded: the waiting images hold " + std::to_string(held_bytes_) +
                             " bytes already (max_queued_bytes " +
                             std::to_string(options_.max_queued_bytes) + ")");
  }
  if (!options_.refuse_hopeless || !task.deadline) return std::nullopt;
  const std::optional<double> wait = wait_for(
      served, task.priority, queue_.next_finish_time(task.priority, task.caller, pending.passes));
  const double left = seconds_between(arrived, *task.deadline);
  if (!wait || *wait <= left * options_.deadline_use) return std::nullopt;
  return RejectedError(ErrorCode::kOverloaded, RejectReason::kHopeless, retry_after(),
                       "overloaded: the answer would take about " +
                           std::to_string(std::lround(*wait * 1000)) + " ms, the deadline is in " +
                           std::to_string(std::lround(left * 1000)) + " ms");
}

/// Calls `take`, if any, with mutex_ held; or throws RejectedError.
void Scheduler::Impl::admit(const Pending& pending, Clock::time_point arrived,
                            const std::function<void()>& take) {
  Completions completions;
  std::optional<RejectedError> rejected;
  {
    const std::lock_guard lock(mutex_);
    rejected = rejection_of(pending, arrived, completions);
    if (!rejected && take) take();
  }
  complete(std::move(completions));
  if (!rejected) return;
  events_->on_rejected(rejected->reason());
  throw RejectedError(*rejected);
}

void Scheduler::Impl::submit(Task task, Done done) {
  const Clock::time_point arrived = Clock::now();
  const std::size_t bytes = image_bytes(task.request.image);
  if (task.stop.stop_requested()) {
    reject(ErrorCode::kCancelled, RejectReason::kCancelled, 1, "the request was cancelled");
  }
  if (task.deadline && *task.deadline <= arrived) {
    reject(ErrorCode::kDeadlineExceeded, RejectReason::kExpired, 1,
           "the deadline passed before the request could wait");
  }
  auto pending = std::make_shared<Pending>();
  try {
    pending->served = registry_->get(task.model);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kUnavailable) throw;
    reject(error.code(), RejectReason::kModelNotReady, 2, error.what());
  }
  const ServedModel& served = *pending->served;
  pending->done = std::move(done);
  pending->arrived = arrived;
  pending->bytes = bytes;
  pending->task = std::move(task);

  // Twice: overload is rejected before the items are read and the estimate is paid for, and the
  // queue may have filled since.
  admit(*pending, arrived, nullptr);
  pending->passes = static_cast<std::uint64_t>(std::max(
      1, served.model->count_passes(pending->task.request.items, served.replicas.front().options)));
  if (options_.max_batch_bytes != 0) {
    pending->workspace_bytes = served.estimates.workspace_bytes(
        *served.model, std::span(&pending->task.request, 1), served.replicas.front().options);
  }
  admit(*pending, arrived, [&] {
    pending->sequence = next_sequence_++;
    queue_.push(pending);
    held_bytes_ += bytes;
    if (pending->task.priority == Priority::kJob) job_bytes_ += bytes;
    if (outstanding_++ == 0) monitor_wake_.notify_one();
    for (const auto& device : devices_) {
      if (device->idle && served.replica(device->id) != nullptr) device->wake.notify_one();
    }
  });
  publish();
}

// ---- Estimates ------------------------------------------------------------------------------

double Scheduler::Impl::seconds_per_image(const ServedModel& served) const {
  double rate = 0;
  for (const auto& device : devices_) {
    const Replica* replica = served.replica(device->id);
    if (replica == nullptr || !device->is_healthy()) continue;
    const double seconds = times_.find(served.name, *replica).per_image;
    if (seconds > 0) rate += 1 / seconds;
  }
  return rate > 0 ? 1 / rate : 0;
}

/// Seconds until a task that comes now would complete; none: nothing is ahead of it, or nothing
/// is known. (Something must be let in for the averages to stay true.)
std::optional<double> Scheduler::Impl::wait_for(const ServedModel& served, Priority priority,
                                                std::uint64_t finish_time) const {
  const Clock::time_point now = Clock::now();
  double free_in = std::numeric_limits<double>::infinity();
  double own_call = std::numeric_limits<double>::infinity();
  bool known = false;
  for (const auto& device : devices_) {
    const Replica* replica = served.replica(device->id);
    if (replica == nullptr || !device->is_healthy()) continue;
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
  for (const TaskQueue::Lane& lane : queue_.lanes()) {
    const bool shares_device = std::ranges::any_of(devices_, [&](const auto& device) {
      return device->is_healthy() && served.replica(device->id) != nullptr &&
             lane.served->replica(device->id) != nullptr;
    });
    if (!shares_device) continue;
    const auto due = [&](Priority of) {
      const auto& waiting = lane.of(of);
      const auto last =
          of == priority ? std::ranges::upper_bound(waiting, finish_time, {}, &Pending::finish_time)
                         : waiting.end();
      return static_cast<double>(last - waiting.begin());
    };
    const double interactive = due(Priority::kInteractive);
    double jobs = due(Priority::kJob);
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
  for (const TaskQueue::Lane& lane : queue_.lanes()) {
    const std::size_t tasks =
        lane.of(Priority::kInteractive).size() + lane.of(Priority::kJob).size();
    seconds += static_cast<double>(tasks) * seconds_per_image(*lane.served);
  }
  return static_cast<int>(std::clamp(std::ceil(seconds), 1.0, double{kMaxRetryAfter}));
}

int Scheduler::Impl::retry_after_seconds() const {
  const std::lock_guard lock(mutex_);
  return retry_after();
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
    result.estimated_wait_seconds =
        wait_for(*served, Priority::kInteractive, std::numeric_limits<std::uint64_t>::max())
            .value_or(0);
  }
  for (const auto& device : devices_) {
    DeviceStatus status{.id = device->id,
                        .healthy = device->is_healthy(),
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

// ---- Completions --------------------------------------------------------------------------------

void Scheduler::Impl::complete(Completions completions) {
  if (completions.empty()) return;
  for (Completion& ready : completions) {
    if (ready.dropped) events_->on_rejected(*ready.dropped);
    try {
      if (ready.pending->done) ready.pending->done(ready.error, std::move(ready.outcome));
    } catch (...) {
      // Documented as ignored: the other tasks must still complete.
    }
    ready.pending->done = nullptr;
  }
  const std::size_t given = completions.size();
  completions.clear();
  {
    const std::lock_guard lock(mutex_);
    outstanding_ -= given;
    if (outstanding_ == 0) drained_.notify_all();
  }
}

void Scheduler::Impl::publish() {
  const std::lock_guard order(publish_mutex_);
  std::size_t tasks = 0;
  std::size_t bytes = 0;
  {
    const std::lock_guard lock(mutex_);
    tasks = queue_.size();
    bytes = held_bytes_;
  }
  events_->on_queue(tasks, bytes);
}

void Scheduler::Impl::release_bytes(const Pending& pending) {
  held_bytes_ -= pending.bytes;
  if (pending.task.priority == Priority::kJob) job_bytes_ -= pending.bytes;
}

// ---- The end --------------------------------------------------------------------------------

bool Scheduler::Impl::drain(Clock::time_point deadline) {
  Completions completions;
  bool all_run = false;
  {
    std::unique_lock lock(mutex_);
    draining_ = true;
    for (const auto& device : devices_) device->wake.notify_all();
    const auto idle = [this] { return outstanding_ == 0; };
    if (!drained_.wait_until(lock, deadline, idle)) {
      drop(queue_.remove_if([](const Pending&) { return true; }), RejectReason::kDraining,
           error_of(ErrorCode::kUnavailable, "the service is shutting down"), completions);
      dropped_in_drain_ = dropped_in_drain_ || !completions.empty();
    }
    all_run = outstanding_ == 0 && !dropped_in_drain_;
  }
  complete(std::move(completions));
  return all_run;
}

void Scheduler::Impl::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const auto& device : devices_) device->wake.notify_all();
    monitor_wake_.notify_all();
  }
  for (const auto& device : devices_) {
    if (device->thread.joinable()) device->thread.join();
  }
  if (monitor_thread_.joinable()) monitor_thread_.join();
}

Scheduler::Scheduler(std::shared_ptr<ModelRegistry> registry, SchedulerOptions options,
                     std::shared_ptr<SchedulerEvents> events)
    : impl_(std::make_unique<Impl>(std::move(registry), std::move(options), std::move(events))) {}
Scheduler::~Scheduler() = default;

void Scheduler::submit(Task task, Done done) { impl_->submit(std::move(task), std::move(done)); }
int Scheduler::retry_after_seconds() const { return impl_->retry_after_seconds(); }
SchedulerStatus Scheduler::status() const { return impl_->status(); }
bool Scheduler::drain(Clock::time_point deadline) { return impl_->drain(deadline); }

}  // namespace itemcrop::scheduler
