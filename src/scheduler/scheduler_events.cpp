#include "scheduler/scheduler_events.h"

namespace itemcrop::scheduler {

std::string_view to_string(Priority priority) noexcept {
  return priority == Priority::kInteractive ? "interactive" : "job";
}

std::string_view to_string(Refusal reason) noexcept {
  switch (reason) {
    case Refusal::kQueueFull:
      return "queue_full";
    case Refusal::kBytesFull:
      return "bytes_full";
    case Refusal::kHopeless:
      return "hopeless";
    case Refusal::kDraining:
      return "draining";
    case Refusal::kModelNotReady:
      return "model_not_ready";
    case Refusal::kDeviceDown:
      return "device_down";
    case Refusal::kExpired:
      return "expired";
    case Refusal::kCancelled:
      return "cancelled";
  }
  return "cancelled";
}

void SchedulerEvents::on_queue(std::size_t /*works*/, std::size_t /*bytes*/) {}
void SchedulerEvents::on_wait(Priority /*priority*/, double /*seconds*/) {}
void SchedulerEvents::on_batch(const DeviceId& /*device*/, std::size_t /*images*/,
                               double /*seconds*/) {}
void SchedulerEvents::on_refused(Refusal /*reason*/) {}
void SchedulerEvents::on_device(const DeviceId& /*device*/, bool /*well*/,
                                std::string_view /*reason*/) {}

}  // namespace itemcrop::scheduler
