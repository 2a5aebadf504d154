#include "jobs/job_runner.h"

#include <algorithm>
#include <condition_variable>
#include <list>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace itemcrop::jobs {

using std::chrono::milliseconds;

/// What a processor has said about an image.
struct Verdict {
  enum class Kind { kResult, kBusy, kFault } kind = Kind::kFault;
  std::string result;
  bool failed = true;
  milliseconds after{0};
};

/// Where a verdict arrives; outlives the runner if a processor is late. Completion::State, which
/// has linkage, holds one, so it has linkage too.
class Slot {
 public:
  /// Only the first verdict counts.
  void settle(Verdict verdict) {
    {
      const std::lock_guard lock(mutex_);
      if (verdict_) return;
      verdict_ = std::move(verdict);
    }
    changed_.notify_all();
  }
  void abandon() {
    {
      const std::lock_guard lock(mutex_);
      abandoned_ = true;
    }
    changed_.notify_all();
  }
  /// None: abandoned first.
  std::optional<Verdict> wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return verdict_ || abandoned_; });
    return std::move(verdict_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Verdict> verdict_;
  bool abandoned_ = false;
};

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMaxConcurrency = 256;

std::string describe_failure(const JobImage& image, const std::exception_ptr& error) {
  std::string_view code = to_string(ErrorCode::kInternal);
  std::string message = "unknown error";
  try {
    std::rethrow_exception(error);
  } catch (const Error& known) {
    code = to_string(known.code());
    message = known.what();
  } catch (const std::exception& other) {
    message = other.what();
  } catch (...) {
  }
  nlohmann::ordered_json json;
  json["id"] = image.id;
  json["error"] = {{"code", code}, {"message", message}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// Whether another try may succeed: the image is not to blame.
bool may_go_away(ErrorCode code) {
  switch (code) {
    case ErrorCode::kUnavailable:
    case ErrorCode::kDeadlineExceeded:
    case ErrorCode::kDeviceLost:
    case ErrorCode::kUnsupportedDevice:
    case ErrorCode::kOutOfMemory:
    case ErrorCode::kCancelled:
    case ErrorCode::kDraining:
    case ErrorCode::kIo:
      return true;
    default:
      return false;
  }
}

}  // namespace

struct Completion::State {
  State(std::shared_ptr<Slot> to, std::string lost)
      : slot(std::move(to)), if_lost(std::move(lost)) {}
  ~State() { slot->settle({Verdict::Kind::kFault, std::move(if_lost), true, {}}); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  std::shared_ptr<Slot> slot;
  std::string if_lost;  ///< the result if nobody answers
};

void Completion::operator()(std::string result, bool failed) const {
  state_->slot->settle({Verdict::Kind::kResult, std::move(result), failed, {}});
}
void Completion::busy(std::chrono::milliseconds after) const {
  state_->slot->settle({Verdict::Kind::kBusy, {}, true, after});
}
void Completion::fault(std::string result) const {
  state_->slot->settle({Verdict::Kind::kFault, std::move(result), true, {}});
}

void Completion::failed(const Error& error, std::string result) const {
  if (error.code() == ErrorCode::kOverloaded) {
    busy(std::chrono::seconds(error.retry_after_seconds()));
  } else if (may_go_away(error.code())) {
    fault(std::move(result));
  } else {
    (*this)(std::move(result), true);
  }
}

class JobRunner::Impl {
 public:
  Impl(std::shared_ptr<JobStore> store, Processor processor, JobRunnerOptions options)
      : store_(std::move(store)), processor_(std::move(processor)), options_(std::move(options)) {
    check();
    if (!options_.failure_result) options_.failure_result = describe_failure;
    store_->on_available([shared = shared_] {
      {
        const std::lock_guard lock(shared->mutex);
        ++shared->offers;
      }
      shared->changed.notify_all();
    });
    try {
      for (int i = 0; i < options_.concurrency; ++i) {
        threads_.emplace_back([this, i] { work(static_cast<unsigned>(i)); });
      }
      threads_.emplace_back([this] { sweep_periodically(); });
    } catch (...) {
      stop();
      throw;
    }
  }

  ~Impl() {
    drain(Clock::now());
    stop();
  }

  JobInfo cancel(std::string_view id) {
    JobInfo info = store_->cancel(id);
    std::vector<std::stop_source> stops;
    {
      const std::lock_guard lock(shared_->mutex);
      for (const RunningImage& hand : running_) {
        if (hand.job_id == id) stops.push_back(hand.stop);
      }
    }
    for (std::stop_source& stop : stops) stop.request_stop();
    wake();
    return info;
  }

  std::size_t running() const {
    const std::lock_guard lock(shared_->mutex);
    return running_.size();
  }

  bool drain(Clock::time_point deadline) {
    std::vector<std::stop_source> stops;
    std::vector<std::shared_ptr<Slot>> slots;
    {
      std::unique_lock lock(shared_->mutex);
      shared_->draining = true;
      shared_->changed.notify_all();
      if (shared_->changed.wait_until(lock, deadline, [this] { return running_.empty(); })) {
        return true;
      }
      shared_->abandoning = true;
      for (const RunningImage& hand : running_) {
        stops.push_back(hand.stop);
        slots.push_back(hand.slot);
      }
    }
    for (std::stop_source& stop : stops) stop.request_stop();
    for (const auto& slot : slots) slot->abandon();
    wake();
    return false;
  }

 private:
  /// What the store's callback may touch after the runner is gone.
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    std::uint64_t offers = 1;   ///< times there may have been something new
    std::uint64_t refused = 0;  ///< offer that was found empty
    Clock::time_point paused_until{};
    int busy_in_a_row = 0;
    bool draining = false;    ///< begin nothing
    bool abandoning = false;  ///< and wait for nothing
    bool stopping = false;    ///< the sweeping thread too
  };
  struct RunningImage {
    std::string job_id;
    std::stop_source stop;
    std::shared_ptr<Slot> slot;  ///< of the present try
  };

  /// After a change outside the mutex: whoever has just looked must already be waiting.
  void wake() {
    { const std::lock_guard lock(shared_->mutex); }
    shared_->changed.notify_all();
  }

  void check() const {
    const auto refuse = [](const std::string& message) {
      throw Error(ErrorCode::kInvalidArgument, message);
    };
    if (store_ == nullptr) refuse("the job runner needs a store");
    if (!processor_) refuse("the job runner needs a processor");
    if (options_.concurrency < 1 || options_.concurrency > kMaxConcurrency) {
      refuse("concurrency must be 1 to " + std::to_string(kMaxConcurrency) + ", got " +
             std::to_string(options_.concurrency));
    }
    if (options_.max_attempts < 1) {
      refuse("max_attempts must be at least 1, got " + std::to_string(options_.max_attempts));
    }
    if (options_.first_backoff.count() < 1 || options_.max_backoff < options_.first_backoff) {
      refuse("first_backoff must be at least 1 ms and at most max_backoff");
    }
    if (options_.sweep_every.count() < 1) refuse("sweep_every must be at least 1 s");
  }

  void stop() {
    store_->on_available({});
    {
      const std::lock_guard lock(shared_->mutex);
      shared_->draining = true;
      shared_->abandoning = true;
      shared_->stopping = true;
    }
    shared_->changed.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void problem(const std::string& message) const {
    if (options_.on_problem) options_.on_problem(message);
  }

  /// The n-th wait, n >= 1: doubled each time, with a quarter of jitter either way.
  milliseconds backoff(int n, std::minstd_rand& random) const {
    double wait = static_cast<double>(options_.first_backoff.count());
    for (int i = 1; i < n && wait < static_cast<double>(options_.max_backoff.count()); ++i) {
      wait *= 2;
    }
    wait = std::min(wait, static_cast<double>(options_.max_backoff.count()));
    wait *= std::uniform_real_distribution<>(0.75, 1.25)(random);
    return milliseconds(static_cast<std::int64_t>(wait) + 1);
  }

  void work(unsigned seed) {
    std::minstd_rand random(seed + 1);
    while (std::optional<JobImage> image = next(random)) {
      process(*image, random);
    }
  }

  /// Waits for an image; none when draining.
  std::optional<JobImage> next(std::minstd_rand& random) {
    int failures = 0;
    for (;;) {
      std::uint64_t offer = 0;
      {
        std::unique_lock lock(shared_->mutex);
        for (;;) {
          if (shared_->draining) return std::nullopt;
          if (shared_->refused == shared_->offers) {
            shared_->changed.wait(lock);
          } else if (Clock::now() < shared_->paused_until) {
            shared_->changed.wait_until(lock, shared_->paused_until);
          } else {
            break;
          }
        }
        offer = shared_->offers;
      }
      try {
        if (std::optional<JobImage> image = store_->claim()) return image;
        const std::lock_guard lock(shared_->mutex);
        shared_->refused = std::max(shared_->refused, offer);
      } catch (const std::exception& error) {
        problem(error.what());
        pause(backoff(++failures, random), {});
      }
    }
  }

  /// False if there is nothing to wait for any more: draining, or `stop` is stopped.
  bool pause(milliseconds time, const std::stop_token& stop) {
    const Clock::time_point until = Clock::now() + time;
    std::unique_lock lock(shared_->mutex);
    const auto over = [&] { return shared_->draining || stop.stop_requested(); };
    shared_->changed.wait_until(lock, until, over);
    return !over();
  }

  void process(JobImage& image, std::minstd_rand& random) {
    std::list<RunningImage>::iterator hand;
    {
      const std::lock_guard lock(shared_->mutex);
      hand = running_.insert(running_.end(), {image.job_id, std::stop_source(), nullptr});
    }
    const std::stop_token stop = hand->stop.get_token();
    if (!run(image, *hand, stop, random)) store_->release(image);
    {
      const std::lock_guard lock(shared_->mutex);
      running_.erase(hand);
    }
    shared_->changed.notify_all();
  }

  /// Tries until the image has its result. False: left to somebody else.
  bool run(JobImage& image, RunningImage& hand, const std::stop_token& stop,
           std::minstd_rand& random) {
    for (;;) {
      const auto slot = std::make_shared<Slot>();
      {
        const std::lock_guard lock(shared_->mutex);
        if (shared_->abandoning) return false;
        hand.slot = slot;
      }
      call(image, slot, stop);
      std::optional<Verdict> verdict = slot->wait();
      if (!verdict) return false;
      if (stop.stop_requested() && verdict->kind != Verdict::Kind::kResult) return false;
      if (verdict->kind == Verdict::Kind::kBusy) {
        if (!wait_for_room(verdict->after, stop, random)) return false;
        continue;
      }
      {
        const std::lock_guard lock(shared_->mutex);
        shared_->busy_in_a_row = 0;
      }
      if (verdict->kind == Verdict::Kind::kFault && image.attempt < options_.max_attempts) {
        if (!pause(backoff(image.attempt, random), stop)) return false;
        ++image.attempt;
        continue;
      }
      return commit(image, std::move(*verdict), stop, random);
    }
  }

  void call(const JobImage& image, const std::shared_ptr<Slot>& slot, const std::stop_token& stop) {
    const auto lost = std::make_exception_ptr(
        Error(ErrorCode::kInternal, "the image was given up without an answer"));
    Completion completion(
        std::make_shared<Completion::State>(slot, options_.failure_result(image, lost)));
    try {
      processor_(image, stop, completion);
    } catch (const Error& error) {
      completion.failed(error, options_.failure_result(image, std::current_exception()));
    } catch (...) {
      completion(options_.failure_result(image, std::current_exception()), true);
    }
  }

  /// All workers hold back: there is one queue for all of them.
  bool wait_for_room(milliseconds after, const std::stop_token& stop, std::minstd_rand& random) {
    std::unique_lock lock(shared_->mutex);
    const int times = ++shared_->busy_in_a_row;
    const milliseconds wait = after.count() > 0 ? after : backoff(times, random);
    shared_->paused_until = std::max(shared_->paused_until, Clock::now() + wait);
    const auto over = [&] { return shared_->draining || stop.stop_requested(); };
    while (!over() && Clock::now() < shared_->paused_until) {
      shared_->changed.wait_until(lock, shared_->paused_until);
    }
    return !over();
  }

  /// A full disk is waited out: the result was paid for.
  bool commit(const JobImage& image, Verdict verdict, const std::stop_token& stop,
              std::minstd_rand& random) {
    int too_large = 0;
    for (int failures = 0;;) {
      try {
        store_->finish(image, verdict.result, verdict.failed);
        return true;
      } catch (const Error& error) {
        if (error.code() == ErrorCode::kLimitExceeded && too_large < 2) {
          const bool own = too_large++ == 0;
          verdict.result = own ? options_.failure_result(image, std::current_exception())
                               : describe_failure(image, std::current_exception());
          verdict.failed = true;
          continue;
        }
        problem(error.what());
      } catch (const std::exception& error) {
        problem(error.what());
      }
      if (!pause(backoff(++failures, random), stop)) return false;
    }
  }

  void sweep_periodically() {
    for (;;) {
      {
        std::unique_lock lock(shared_->mutex);
        shared_->changed.wait_for(lock, options_.sweep_every, [&] { return shared_->stopping; });
        if (shared_->stopping) return;
      }
      try {
        store_->sweep();
      } catch (const std::exception& error) {
        problem(error.what());
      }
    }
  }

  const std::shared_ptr<JobStore> store_;
  const Processor processor_;
  JobRunnerOptions options_;
  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  std::list<RunningImage> running_;  ///< guarded by shared_->mutex
  std::vector<std::thread> threads_;
};

JobRunner::JobRunner(std::shared_ptr<JobStore> store, Processor processor, JobRunnerOptions options)
    : impl_(std::make_unique<Impl>(std::move(store), std::move(processor), std::move(options))) {}
JobRunner::~JobRunner() = default;

JobInfo JobRunner::cancel(std::string_view id) { return impl_->cancel(id); }
std::size_t JobRunner::running() const { return impl_->running(); }
bool JobRunner::drain(std::chrono::steady_clock::time_point deadline) {
  return impl_->drain(deadline);
}

}  // namespace itemcrop::jobs
