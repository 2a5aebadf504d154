#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "scheduler/model_registry.h"
#include "scheduler/scheduler.h"
#include "store/store_monitor.h"

namespace itemcrop::service {

/// Whether the service can do its work. Thread-safe.
class Readiness {
 public:
  /// `store_monitor` may be null: no store of its own.
  Readiness(std::shared_ptr<scheduler::ModelRegistry> registry,
            std::shared_ptr<scheduler::Scheduler> scheduler,
            std::shared_ptr<store::StoreMonitor> store_monitor)
      : registry_(std::move(registry)),
        scheduler_(std::move(scheduler)),
        store_monitor_(std::move(store_monitor)) {}

  void begin_drain() noexcept { draining_ = true; }
  bool draining() const noexcept { return draining_; }
  void lose_device() noexcept { device_lost_ = true; }
  bool device_lost() const noexcept { return device_lost_; }

  /// Why it is not ready; empty: it is. Names no path: whoever asks needs no key.
  std::string reason() const;
  bool is_loading(const std::string& model) const;
  /// Throws 404 for an unknown model, 503 for one that is not ready.
  void check_model(const std::string& name) const;

 private:
  std::shared_ptr<scheduler::ModelRegistry> registry_;
  std::shared_ptr<scheduler::Scheduler> scheduler_;
  std::shared_ptr<store::StoreMonitor> store_monitor_;
  std::atomic<bool> draining_ = false;
  std::atomic<bool> device_lost_ = false;
};

}  // namespace itemcrop::service
