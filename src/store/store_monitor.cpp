#include "store/store_monitor.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <utility>

#include "itemcrop/error.h"

namespace itemcrop::store {

using Clock = std::chrono::steady_clock;

StoreMonitor::StoreMonitor(std::shared_ptr<Store> store, StoreMonitorOptions options)
    : store_(std::move(store)),
      swept_(std::dynamic_pointer_cast<LocalStore>(store_)),
      options_(std::move(options)),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

std::string StoreMonitor::error() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

void StoreMonitor::run(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  Clock::time_point next_check = Clock::now();
  Clock::time_point next_sweep = next_check;
  while (!stop.stop_requested()) {
    // Swept first: a full folder may have room then.
    const Clock::time_point now = Clock::now();
    const bool crowded = swept_ != nullptr && now >= next_check && swept_->is_sweep_due();
    if (swept_ != nullptr && (now >= next_sweep || crowded)) {
      sweep();
      next_sweep = Clock::now() + options_.sweep_every;
    }
    if (Clock::now() >= next_check) {
      check(stop);
      next_check = Clock::now() + options_.check_every;
    }
    std::unique_lock lock(mutex);
    never.wait_until(lock, stop, swept_ ? std::min(next_check, next_sweep) : next_check,
                     [] { return false; });
  }
}

void StoreMonitor::check(const std::stop_token& stop) {
  std::string found;
  try {
    store_->check(stop);
  } catch (const RefusedError& error) {
    found = error.what();
  } catch (const Error& error) {
    const bool passes = error.code() == ErrorCode::kUnavailable ||
                        error.code() == ErrorCode::kDeadlineExceeded ||
                        error.code() == ErrorCode::kCancelled;
    if (!passes) found = error.what();
  } catch (const std::exception& error) {
    found = error.what();
  }
  bool changed = false;
  {
    const std::lock_guard lock(mutex_);
    changed = found.empty() != error_.empty();
    error_ = found;
  }
  if (changed && options_.on_error) options_.on_error(found);
}

void StoreMonitor::sweep() {
  try {
    const SweepReport report = swept_->sweep();
    if (report.files_removed > 0 && options_.on_sweep) options_.on_sweep(report);
  } catch (const std::exception&) {
    // Out of memory at worst; the next sweep comes.
  }
}

}  // namespace itemcrop::store
