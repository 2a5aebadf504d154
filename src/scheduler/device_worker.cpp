// The thread of each device: takes batches, runs them, retries after errors.
#include <algorithm>
#include <new>
#include <span>
#include <utility>

#include "scheduler/scheduler_impl.h"

namespace itemcrop::scheduler {
namespace {

/// Calls without running out of memory after which a device tries one image more a call.
constexpr int kCallsToRecover = 32;

/// Which tasks the exception of a call concerns.
struct Fault {
  enum class Kind { kRequest, kOutOfMemory, kDeviceLost } kind = Kind::kRequest;
  std::exception_ptr error;
  std::string message;
};

Fault fault_of_current_exception() {
  try {
    throw;
  } catch (const Error& error) {
    Fault fault{Fault::Kind::kRequest, std::current_exception(), error.what()};
    if (error.code() == ErrorCode::kOutOfMemory) fault.kind = Fault::Kind::kOutOfMemory;
    if (error.code() == ErrorCode::kDeviceLost) fault.kind = Fault::Kind::kDeviceLost;
    return fault;
  } catch (const std::bad_alloc&) {
    return {Fault::Kind::kOutOfMemory, error_of(ErrorCode::kOutOfMemory, "out of host memory"),
            "out of host memory"};
  } catch (const std::exception& error) {
    return {Fault::Kind::kRequest, error_of(ErrorCode::kInternal, error.what()), error.what()};
  } catch (...) {
    return {Fault::Kind::kRequest, error_of(ErrorCode::kInternal, "unknown error"),
            "unknown error"};
  }
}

}  // namespace

void Scheduler::Impl::serve_device(DeviceWorker& device) {
  for (;;) {
    const std::vector<PendingPtr> batch = next_batch(device);
    if (batch.empty()) return;
    publish();
    const Clock::time_point begun = Clock::now();
    for (const PendingPtr& pending : batch) {
      events_->on_wait(pending->task.priority, seconds_between(pending->arrived, begun));
    }
    run(device, batch, Attempt::kWhole);
    {
      const std::lock_guard lock(mutex_);
      for (const PendingPtr& pending : batch) release_bytes(*pending);
      running_ -= batch.size();
      device.batch.clear();
      device.idle = true;
    }
    publish();
  }
}

/// Waits for tasks, then for more of them within the window. Empty: the thread is to end.
std::vector<PendingPtr> Scheduler::Impl::next_batch(DeviceWorker& device) {
  for (;;) {
    Completions dropped;
    {
      std::unique_lock lock(mutex_);
      while (dropped.empty()) {
        if (stopping_ || device.lost) return {};
        drop_ended(Clock::now(), dropped);
        drop_hopeless(device, dropped);
        if (!dropped.empty()) break;
        const std::optional<TaskQueue::Preview> next =
            queue_.preview(device.id, device.interleaving);
        if (!next) {
          device.wake.wait(lock);
          continue;
        }
        const Clock::time_point until = next->oldest + device.window;
        if (next->tasks < device.limit && !draining_ && Clock::now() < until) {
          device.wake.wait_until(lock, until);
          continue;
        }
        device.batch =
            queue_.take(device.id, {device.limit, options_.max_batch_bytes}, device.interleaving);
        device.idle = false;
        running_ += device.batch.size();
        return device.batch;
      }
    }
    complete(std::move(dropped));
    publish();
  }
}

/// Tasks of a batch whose results will still be read; the others are completed with an error.
std::vector<PendingPtr> Scheduler::Impl::still_wanted(std::span<const PendingPtr> tasks) {
  const Clock::time_point now = Clock::now();
  std::vector<PendingPtr> wanted;
  Completions completions;
  {
    const std::lock_guard lock(mutex_);
    for (const PendingPtr& pending : tasks) {
      if (pending->completed) continue;
      if (pending->task.stop.stop_requested()) {
        completions.push_back({pending, cancelled_, {}, RejectReason::kCancelled});
      } else if (pending->task.deadline && *pending->task.deadline <= now) {
        completions.push_back({pending, expired_, {}, RejectReason::kExpired});
      } else {
        wanted.push_back(pending);
        continue;
      }
      pending->completed = true;
    }
  }
  complete(std::move(completions));
  return wanted;
}

void Scheduler::Impl::fail(std::span<const PendingPtr> tasks, const std::exception_ptr& error) {
  Completions completions;
  {
    const std::lock_guard lock(mutex_);
    for (const PendingPtr& pending : tasks) {
      if (!std::exchange(pending->completed, true)) completions.push_back({pending, error});
    }
  }
  complete(std::move(completions));
}

DetectReport Scheduler::Impl::call(DeviceWorker& device, const std::vector<PendingPtr>& tasks) {
  const ServedModel& served = *tasks.front()->served;
  const Replica& replica = *served.replica(device.id);
  std::vector<DetectRequest> requests;
  requests.reserve(tasks.size());
  // Copies of words and numbers: a retry needs the originals. Pixels are borrowed.
  for (const PendingPtr& pending : tasks) requests.push_back(pending->task.request);

  const Clock::time_point begun = Clock::now();
  {
    const std::lock_guard lock(mutex_);
    device.call_begun = begun;
    device.progressed = begun;
    device.call_expected =
        times_.find(served.name, replica).per_image * static_cast<double>(tasks.size());
  }
  const auto end = [&](bool succeeded) {
    const double seconds = seconds_between(begun, Clock::now());
    bool recovered = false;
    {
      const std::lock_guard lock(mutex_);
      device.call_begun.reset();
      ++device.calls;
      device.images += tasks.size();
      recovered = std::exchange(device.stuck, false);
      if (recovered) device.reason.clear();
      if (succeeded) {
        times_.add(served.name, device.id, tasks.size(), seconds);
        if (device.limit < device.max_images && ++device.calls_since_shrink >= kCallsToRecover) {
          ++device.limit;
          device.calls_since_shrink = 0;
        }
      }
    }
    events_->on_batch(device.id, tasks.size(), seconds);
    if (recovered) events_->on_device(device.id, true, "");
  };
  DetectOptions options = replica.options;
  options.keep_going = [&] {
    const Clock::time_point now = Clock::now();
    const std::lock_guard lock(mutex_);
    device.progressed = now;
    return std::ranges::any_of(
        tasks, [&](const PendingPtr& pending) { return still_wanted(*pending, now); });
  };
  try {
    DetectReport report = served.model->detect(requests, options);
    if (report.results.size() != tasks.size()) {
      throw Error(ErrorCode::kInternal, "the model gave " + std::to_string(report.results.size()) +
                                            " results for " + std::to_string(tasks.size()) +
                                            " requests");
    }
    end(true);
    return report;
  } catch (...) {
    end(false);
    throw;
  }
}

void Scheduler::Impl::run(DeviceWorker& device, std::span<const PendingPtr> members,
                          Attempt attempt) {
  const std::vector<PendingPtr> tasks = still_wanted(members);
  if (tasks.empty()) return;
  {
    std::unique_lock lock(mutex_);
    if (device.lost) {
      const std::string reason = device.reason;
      lock.unlock();
      return fail(tasks, error_of(ErrorCode::kDeviceLost, reason));
    }
  }
  const auto each_alone = [&] {
    for (const PendingPtr& pending : tasks) run(device, std::span(&pending, 1), Attempt::kAlone);
  };
  const Clock::time_point begun = Clock::now();
  DetectReport report;
  try {
    report = call(device, tasks);
  } catch (...) {
    const Fault fault = fault_of_current_exception();
    switch (fault.kind) {
      case Fault::Kind::kDeviceLost:
        return mark_lost(device, fault.message);
      case Fault::Kind::kRequest:
        if (tasks.size() > 1) return each_alone();
        // A call that was cancelled completes its tasks like one that has not begun.
        return fail(still_wanted(tasks), fault.error);
      case Fault::Kind::kOutOfMemory:
        break;
    }
    if (attempt == Attempt::kWhole) {
      {
        const std::lock_guard lock(mutex_);
        device.limit = std::max<std::size_t>(1, tasks.size() / 2);
        device.calls_since_shrink = 0;
      }
      if (tasks.size() == 1) return run(device, tasks, Attempt::kAlone);
      const std::span<const PendingPtr> all(tasks);
      run(device, all.first(tasks.size() / 2), Attempt::kHalf);
      return run(device, all.subspan(tasks.size() / 2), Attempt::kHalf);
    }
    if (tasks.size() > 1) return each_alone();
    return fail(tasks, fault.error);
  }

  const double batch_ms = 1000 * seconds_between(begun, Clock::now());
  Completions completions;
  {
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      const PendingPtr& pending = tasks[i];
      if (std::exchange(pending->completed, true)) continue;  // failed while the device was stuck
      Outcome outcome;
      outcome.result = std::move(report.results[i]);
      outcome.model = pending->served->name;
      outcome.generation = pending->served->generation;
      outcome.device = device.id;
      outcome.device_name = report.device_name;
      outcome.precision = report.precision;
      outcome.queue_ms = 1000 * seconds_between(pending->arrived, begun);
      outcome.batch_ms = batch_ms;
      outcome.batch_images = tasks.size();
      completions.push_back({pending, nullptr, std::move(outcome)});
    }
  }
  complete(std::move(completions));
}

void Scheduler::Impl::mark_lost(DeviceWorker& device, const std::string& reason) {
  const std::string message = to_string(device.id) + " is lost: " + reason;
  const std::exception_ptr error = error_of(ErrorCode::kDeviceLost, message);
  Completions completions;
  {
    const std::lock_guard lock(mutex_);
    device.lost = true;
    device.reason = message;
    for (const PendingPtr& pending : device.batch) {
      if (!std::exchange(pending->completed, true)) completions.push_back({pending, error});
    }
    fail_unservable(completions);
  }
  events_->on_device(device.id, false, message);
  complete(std::move(completions));
  publish();
  if (options_.on_device_lost) options_.on_device_lost(device.id, message);
}

}  // namespace itemcrop::scheduler
