#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "store/local_store.h"

namespace itemcrop::store {

struct StoreMonitorOptions {
  std::chrono::milliseconds check_every{10'000};
  std::chrono::milliseconds sweep_every{600'000};
  /// After every sweep that removed something. Both are called on the monitor's thread.
  std::function<void(const SweepReport&)> on_sweep;
  /// The store stopped working, with the reason, or works again, with an empty one.
  std::function<void(const std::string& error)> on_error;
};

/// Checks a store at its start and from time to time, and sweeps it if it is a LocalStore, on a
/// thread of its own, so that asking about the store costs nothing. A bucket that cannot be reached
/// for a while (kUnavailable, kDeadlineExceeded) is no error of the store: each put says so itself.
class StoreMonitor {
 public:
  StoreMonitor(std::shared_ptr<Store> store, StoreMonitorOptions options);
  /// Ends a check and waits for a sweep in progress.
  ~StoreMonitor() = default;
  StoreMonitor(const StoreMonitor&) = delete;
  StoreMonitor& operator=(const StoreMonitor&) = delete;

  /// Why nothing could be kept when it was checked last; empty: it could.
  std::string error() const;

 private:
  void run(const std::stop_token& stop);
  void check(const std::stop_token& stop);
  void sweep();

  const std::shared_ptr<Store> store_;
  const std::shared_ptr<LocalStore> swept_;  // the same, or null
  const StoreMonitorOptions options_;
  mutable std::mutex mutex_;
  std::string error_;
  std::jthread thread_;  // the last: it uses the others
};

}  // namespace itemcrop::store
