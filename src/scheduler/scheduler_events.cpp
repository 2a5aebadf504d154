#include "scheduler/scheduler_events.h"

namespace itemcrop::scheduler {

std::string_view to_string(Priority priority) noexcept {
  return priority == Priority::kInteractive ? "interactive" : "job";
}

std::string_view to_string(RejectReason reason) noexcept {
  switch (reason) {
    case RejectReason::kQueueFull:
      return "queue_full";
    case RejectReason::kBytesFull:
      return "bytes_full";
    case RejectReason::kHopeless:
      return "hopeless";
    case RejectReason::kDraining:
      return "draining";
    case RejectReason::kModelNotReady:
      return "model_not_ready";
    case RejectReason::kDeviceDown:
      return "device_down";
    case RejectReason::kExpired:
      return "expired";
    case RejectReason::kCancelled:
      return "cancelled";
  }
  return "cancelled";
}

void SchedulerEvents::on_queue(std::size_t /*tasks*/, std::size_t /*bytes*/) {}
void SchedulerEvents::on_wait(Priority /*priority*/, double /*seconds*/) {}
void SchedulerEvents::on_batch(const DeviceId& /*device*/, std::size_t /*images*/,
                               double /*seconds*/) {}
void SchedulerEvents::on_rejected(RejectReason /*reason*/) {}
void SchedulerEvents::on_device(const DeviceId& /*device*/, bool /*healthy*/,
                                std::string_view /*reason*/) {}

}  // namespace itemcrop::scheduler
