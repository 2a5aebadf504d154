#include "scheduler/scheduler_events.h"

#include "core/enum_names.h"

namespace itemcrop::scheduler {

std::string_view to_string(Priority priority) noexcept {
  return priority == Priority::kInteractive ? "interactive" : "job";
}

std::string_view to_string(RejectReason reason) noexcept {
  static constexpr EnumNames<RejectReason::kCancelled> kNames(
      "queue_full", "bytes_full", "hopeless", "draining", "model_not_ready", "device_down",
      "expired", "cancelled");
  return kNames[reason];
}

void SchedulerEvents::on_queue(std::size_t /*tasks*/, std::size_t /*bytes*/) {}
void SchedulerEvents::on_wait(Priority /*priority*/, double /*seconds*/) {}
void SchedulerEvents::on_batch(const DeviceId& /*device*/, std::size_t /*images*/,
                               double /*seconds*/) {}
void SchedulerEvents::on_rejected(RejectReason /*reason*/) {}
void SchedulerEvents::on_device(const DeviceId& /*device*/, bool /*healthy*/,
                                std::string_view /*reason*/) {}

}  // namespace itemcrop::scheduler
