#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "scheduler/scheduler_events.h"

namespace itemcrop::service {

/// Counters and histograms of the process in Prometheus' text format. Thread-safe.
class Metrics : public scheduler::SchedulerEvents {
 public:
  Metrics();
  ~Metrics() override;

  void request(std::string_view route, int status, double seconds);
  void rejected(std::string_view reason);
  void crops(std::size_t found, std::size_t not_found);
  void fetch(double seconds, bool failed);
  void store(double seconds);
  void jobs(std::string_view status, double count);  ///< a gauge, set before it is shown
  void connections(double count);

  void on_queue(std::size_t works, std::size_t bytes) override;
  void on_wait(scheduler::Priority priority, double seconds) override;
  void on_batch(const scheduler::DeviceId& device, std::size_t images, double seconds) override;
  void on_rejected(scheduler::RejectReason reason) override;
  void on_device(const scheduler::DeviceId& device, bool healthy, std::string_view reason) override;

  std::string text() const;

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace itemcrop::service
