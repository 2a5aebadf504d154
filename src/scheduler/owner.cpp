// What the thread of each device does: takes batches, runs them, and makes the best of what fails.
#include <algorithm>
#include <new>
#include <span>
#include <utility>

#include "scheduler/scheduler_impl.h"

namespace itemcrop::scheduler {
namespace {

/// Calls without running out of memory after which a device tries one picture more a call.
constexpr int kCallsToRecover = 32;

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
    device.progressed = begun;
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
  DetectOptions options = replica.options;
  options.keep_going = [&] {
    const Clock::time_point now = Clock::now();
    const std::lock_guard lock(mutex_);
    device.progressed = now;
    return std::ranges::any_of(works,
                               [&](const PendingPtr& work) { return still_wanted(*work, now); });
  };
  try {
    DetectReport report = served.model->detect(requests, options);
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
        // A call that was ended because nobody waits any more answers as one that has not begun.
        return fail(still_wanted(works), fault.error);
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

}  // namespace itemcrop::scheduler
