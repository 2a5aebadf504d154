#pragma once

#include <cstddef>
#include <string_view>

#include "scheduler/device_id.h"

namespace itemcrop::scheduler {

enum class Priority {
  kInteractive,  ///< a client waits for the result
  kJob,          ///< takes what interactive tasks leave, and a share of its own
};
std::string_view to_string(Priority priority) noexcept;  ///< "interactive", "job"

/// Why a task was not run.
enum class RejectReason {
  kQueueFull,      ///< too many waiting tasks
  kBytesFull,      ///< too many bytes of waiting images
  kHopeless,       ///< it would have ended after its deadline
  kDraining,       ///< the scheduler is shutting down
  kModelNotReady,  ///< its model is loading or failed
  kDeviceDown,     ///< no device that serves its model is healthy
  kExpired,        ///< its deadline passed while it waited
  kCancelled,      ///< its stop token was stopped while it waited
};
/// "queue_full", "bytes_full", "hopeless", "draining", "model_not_ready", "device_down", "expired",
/// "cancelled": label values of itemcrop_rejected_total.
std::string_view to_string(RejectReason reason) noexcept;

/// Reported for metrics. Called from several threads at once, without locks held; must be quick and
/// must not throw.
class SchedulerEvents {
 public:
  virtual ~SchedulerEvents() = default;
  /// After every change: tasks that wait and the image bytes of those that wait or run.
  virtual void on_queue(std::size_t tasks, std::size_t bytes);
  /// A task left the queue to be run.
  virtual void on_wait(Priority priority, double seconds);
  /// One call of Model::detect ended, with a result or an error.
  virtual void on_batch(const DeviceId& device, std::size_t images, double seconds);
  /// RejectedError by submit(), or dropped from the queue.
  virtual void on_rejected(RejectReason reason);
  virtual void on_device(const DeviceId& device, bool healthy, std::string_view reason);
};

}  // namespace itemcrop::scheduler
