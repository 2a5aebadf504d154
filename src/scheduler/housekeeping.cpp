// Works that leave the queue without being run, and the thread that looks for them.
#include <algorithm>
#include <utility>

#include "scheduler/scheduler_impl.h"

namespace itemcrop::scheduler {
namespace {

/// How often waiting works are looked through for those that nobody waits for any more, and calls
/// for being stuck.
constexpr std::chrono::milliseconds kTick{50};

}  // namespace

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
          now - device->progressed < options_.stuck_after) {
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

}  // namespace itemcrop::scheduler
