#include "store/housekeeper.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <utility>

namespace itemcrop::store {

using Clock = std::chrono::steady_clock;

Housekeeper::Housekeeper(std::shared_ptr<LocalStore> store, HousekeeperOptions options)
    : store_(std::move(store)),
      options_(std::move(options)),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

std::string Housekeeper::trouble() const {
  const std::lock_guard lock(mutex_);
  return trouble_;
}

void Housekeeper::run(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  Clock::time_point next_check = Clock::now();
  Clock::time_point next_sweep = next_check;
  while (!stop.stop_requested()) {
    // Swept first: a full folder may have room then.
    if (Clock::now() >= next_sweep) {
      sweep();
      next_sweep = Clock::now() + options_.sweep_every;
    }
    if (Clock::now() >= next_check) {
      check();
      next_check = Clock::now() + options_.check_every;
    }
    std::unique_lock lock(mutex);
    never.wait_until(lock, stop, std::min(next_check, next_sweep), [] { return false; });
  }
}

void Housekeeper::check() {
  std::string trouble;
  try {
    store_->check();
  } catch (const std::exception& problem) {
    trouble = problem.what();
  }
  bool changed = false;
  {
    const std::lock_guard lock(mutex_);
    changed = trouble.empty() != trouble_.empty();
    trouble_ = trouble;
  }
  if (changed && options_.on_trouble) options_.on_trouble(trouble);
}

void Housekeeper::sweep() {
  try {
    const SweepReport report = store_->sweep();
    if (report.files_removed > 0 && options_.on_sweep) options_.on_sweep(report);
  } catch (const std::exception&) {
    // Out of memory at worst; the next sweep comes.
  }
}

}  // namespace itemcrop::store
