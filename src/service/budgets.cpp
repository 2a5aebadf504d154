#include "service/budgets.h"

#include "scheduler/scheduler.h"

namespace itemcrop::service {

Budgets::Budgets(const Settings& settings)
    : images({"max_queued", settings.max_queued}),
      body_bytes({"max_buffered_bytes", settings.max_buffered_bytes}) {}

Lease take_images(Budgets& budgets, const scheduler::Scheduler& scheduler, std::int64_t count,
                  const std::string& caller) {
  try {
    return budgets.images.take(count, caller);
  } catch (const Error& error) {
    throw scheduler::Refused(ErrorCode::kOverloaded, scheduler::Refusal::kQueueFull,
                             scheduler.retry_after_seconds(), error.what());
  }
}

Lease take_body_bytes(Budgets& budgets, std::int64_t count, const std::string& caller) {
  try {
    return budgets.body_bytes.take(count, caller);
  } catch (const Error& error) {
    throw scheduler::Refused(ErrorCode::kOverloaded, scheduler::Refusal::kBytesFull, 1,
                             error.what());
  }
}

}  // namespace itemcrop::service
