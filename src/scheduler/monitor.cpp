// Tasks that leave the queue without being run, and the thread that finds them.
#include <algorithm>
#include <utility>

#include "scheduler/scheduler_impl.h"

namespace itemcrop::scheduler {
namespace {

/// How often waiting tasks are checked for cancellation and deadlines, and calls for progress.
constexpr std::chrono::milliseconds kTick{50};

}  // namespace

void Scheduler::Impl::drop(std::vector<PendingPtr> tasks, RejectReason reason,
                           const std::exception_ptr& error, Completions& completions) {
  for (PendingPtr& pending : tasks) {
    release_bytes(*pending);
    pending->completed = true;
    completions.push_back({std::move(pending), error, {}, reason});
  }
}

void Scheduler::Impl::drop_ended(Clock::time_point now, Completions& completions) {
  drop(queue_.remove_if([](const Pending& pending) { return pending.task.stop.stop_requested(); }),
       RejectReason::kCancelled, cancelled_, completions);
  drop(queue_.remove_if([now](const Pending& pending) {
    return pending.task.deadline && *pending.task.deadline <= now;
  }),
       RejectReason::kExpired, expired_, completions);
}

/// Tasks that would begin in time and end too late. Without this a queue that has fallen behind
/// runs one such task after the other and meets no deadline at all. one task is always kept, so
/// that the averages stay true.
void Scheduler::Impl::drop_hopeless(const DeviceWorker& device, Completions& completions) {
  if (!options_.refuse_hopeless) return;
  std::size_t left = 0;
  for (const TaskQueue::Lane& lane : queue_.lanes()) {
    if (lane.served->replica(device.id) == nullptr) continue;
    for (const auto& tasks : lane.waiting) left += tasks.size();
  }
  const Clock::time_point now = Clock::now();
  drop(queue_.remove_if([&](const Pending& pending) {
    if (left <= 1 || !pending.task.deadline) return false;
    const Replica* replica = pending.served->replica(device.id);
    if (replica == nullptr) return false;
    const double call = times_.find(pending.served->name, *replica).per_call;
    if (seconds_between(now, *pending.task.deadline) >= call) return false;
    --left;
    return true;
  }),
       RejectReason::kHopeless, hopeless_, completions);
}

bool Scheduler::Impl::servable(const ServedModel& served) const {
  return std::ranges::any_of(devices_, [&](const auto& device) {
    return device->is_healthy() && served.replica(device->id) != nullptr;
  });
}

std::string Scheduler::Impl::why_unservable(const ServedModel& served) const {
  std::string reasons;
  for (const auto& device : devices_) {
    if (served.replica(device->id) == nullptr) continue;
    reasons += (reasons.empty() ? "" : "; ") + to_string(device->id) + ": " + device->reason;
  }
  return "no device of model \"" + served.name + "\" is healthy: " + reasons;
}

void Scheduler::Impl::fail_unservable(Completions& completions) {
  std::vector<std::shared_ptr<const ServedModel>> stranded;
  for (const TaskQueue::Lane& lane : queue_.lanes()) {
    if (!servable(*lane.served)) stranded.push_back(lane.served);
  }
  for (const auto& served : stranded) {
    drop(queue_.remove_if([&](const Pending& pending) { return pending.served == served; }),
         RejectReason::kDeviceDown, error_of(ErrorCode::kDeviceLost, why_unservable(*served)),
         completions);
  }
}

void Scheduler::Impl::monitor() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (outstanding_ == 0 && running_ == 0) {
      monitor_wake_.wait(lock);
      continue;
    }
    const Clock::time_point now = Clock::now();
    Completions completions;
    drop_ended(now, completions);
    std::vector<std::pair<DeviceId, std::string>> stuck;
    for (const auto& device : devices_) {
      if (!device->is_healthy() || !device->call_begun ||
          now - device->progressed < options_.stuck_after) {
        continue;
      }
      device->stuck = true;
      device->reason = to_string(device->id) + " has not answered for " +
                       std::to_string(options_.stuck_after.count()) + " ms";
      stuck.emplace_back(device->id, device->reason);
      const auto error = error_of(ErrorCode::kDeviceLost, device->reason);
      for (const PendingPtr& pending : device->batch) {
        // Its pixels are still being read: the batch keeps them, and counts them, until it ends.
        if (!std::exchange(pending->completed, true)) completions.push_back({pending, error});
      }
    }
    if (!stuck.empty()) fail_unservable(completions);
    if (!completions.empty() || !stuck.empty()) {
      lock.unlock();
      for (const auto& [id, reason] : stuck) events_->on_device(id, false, reason);
      complete(std::move(completions));
      publish();
      lock.lock();
      continue;
    }
    Clock::time_point wake = now + kTick;
    for (const TaskQueue::Lane& lane : queue_.lanes()) {
      for (const auto& tasks : lane.waiting) {
        for (const PendingPtr& pending : tasks) {
          if (pending->task.deadline) wake = std::min(wake, *pending->task.deadline);
        }
      }
    }
    monitor_wake_.wait_until(lock, wake);
  }
}

}  // namespace itemcrop::scheduler
