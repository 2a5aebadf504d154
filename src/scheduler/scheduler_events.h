#pragma once

#include <cstddef>
#include <string_view>

#include "scheduler/device_id.h"

namespace itemcrop::scheduler {

enum class Priority {
  kInteractive,  ///< somebody waits for the answer
  kJob,          ///< takes what interactive work leaves, but is never starved
};
std::string_view to_string(Priority priority) noexcept;  ///< "interactive", "job"

/// Why work was not run.
enum class Refusal {
  kQueueFull,      ///< too many waiting works
  kBytesFull,      ///< too many bytes of waiting pictures
  kHopeless,       ///< it would have ended after its deadline
  kDraining,       ///< the scheduler is shutting down
  kModelNotReady,  ///< its model is loading or failed
  kDeviceDown,     ///< no device that serves its model is well
  kExpired,        ///< its deadline passed while it waited
  kCancelled,      ///< its stop token was stopped while it waited
};
/// "queue_full", "bytes_full", "hopeless", "draining", "model_not_ready", "device_down", "expired",
/// "cancelled": label values of itemcrop_rejected_total.
std::string_view to_string(Refusal reason) noexcept;

/// What metrics hear. Called from several threads at once, without locks held; must be quick and
/// must not throw.
class SchedulerEvents {
 public:
  virtual ~SchedulerEvents() = default;
  /// After every change: works that wait and the picture bytes of those that wait or run.
  virtual void on_queue(std::size_t works, std::size_t bytes);
  /// A work left the queue to be run.
  virtual void on_wait(Priority priority, double seconds);
  /// One call of Model::detect ended, well or not.
  virtual void on_batch(const DeviceId& device, std::size_t images, double seconds);
  /// Refused by submit(), or dropped from the queue.
  virtual void on_refused(Refusal reason);
  virtual void on_device(const DeviceId& device, bool well, std::string_view reason);
};

}  // namespace itemcrop::scheduler
