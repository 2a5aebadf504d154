#include "service/budgets.h"

#include "scheduler/scheduler.h"

namespace itemcrop::service {

namespace {

Budget::Limits limits(const Settings& settings, const std::string& name, std::int64_t total) {
  return {name, total, "caller_share of " + name, settings.caller_share};
}

}  // namespace

Budgets::Budgets(const Settings& settings)
    : images(limits(settings, "max_queued", settings.max_queued)),
      body_bytes(limits(settings, "max_buffered_bytes", settings.max_buffered_bytes)),
      stream_bytes(limits(settings, "max_stream_bytes", settings.max_stream_bytes)),
      download_bytes(limits(settings, "max_download_bytes", settings.max_download_bytes)),
      decoding_bytes(limits(settings, "max_decode_bytes", settings.max_decode_bytes)),
      response_bytes(limits(settings, "max_response_bytes", settings.max_response_bytes)) {}

Lease take_images(Budgets& budgets, const scheduler::Scheduler& scheduler, std::int64_t count,
                  const std::string& caller) {
  try {
    return budgets.images.take(count, caller);
  } catch (const Error& error) {
    throw scheduler::RejectedError(ErrorCode::kOverloaded, scheduler::RejectReason::kQueueFull,
                                   scheduler.retry_after_seconds(), error.what());
  }
}

}  // namespace itemcrop::service
