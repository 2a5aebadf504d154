#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "store/local_store.h"

namespace itemcrop::store {

struct HousekeeperOptions {
  std::chrono::milliseconds check_every{10'000};
  std::chrono::milliseconds sweep_every{600'000};
  /// After every sweep that removed something. Both are called on the housekeeper's thread.
  std::function<void(const SweepReport&)> on_sweep;
  /// The store stopped working, with the reason, or works again, with an empty one.
  std::function<void(const std::string& trouble)> on_trouble;
};

/// Checks and sweeps a store at its start and from time to time, on a thread of its own, so that
/// asking about the store costs nothing.
class Housekeeper {
 public:
  Housekeeper(std::shared_ptr<LocalStore> store, HousekeeperOptions options);
  /// Waits for a sweep in progress.
  ~Housekeeper() = default;
  Housekeeper(const Housekeeper&) = delete;
  Housekeeper& operator=(const Housekeeper&) = delete;

  /// Why nothing could be kept when it was checked last; empty: it could.
  std::string trouble() const;

 private:
  void run(const std::stop_token& stop);
  void check();
  void sweep();

  const std::shared_ptr<LocalStore> store_;
  const HousekeeperOptions options_;
  mutable std::mutex mutex_;
  std::string trouble_;
  std::jthread thread_;  // the last: it uses the others
};

}  // namespace itemcrop::store
