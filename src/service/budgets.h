#pragma once

#include <cstdint>
#include <string>

#include "core/budget.h"
#include "service/requests/settings.h"

namespace itemcrop::scheduler {
class Scheduler;
}

namespace itemcrop::service {

/// What requests may hold at a time.
struct Budgets {
  explicit Budgets(const Settings& settings);

  Budget images;          ///< of requests in hand: max_queued
  Budget body_bytes;      ///< of bodies held: max_buffered_bytes
  Budget stream_bytes;    ///< of pieces of files and event streams: max_stream_bytes
  Budget download_bytes;  ///< of files being downloaded, and until they are decoded
  Budget decoding_bytes;  ///< of images being decoded and held: max_decode_bytes
  Budget response_bytes;  ///< of crops and responses until they are written: max_response_bytes
};

/// The same as Budget::take with a Retry-After by the queue's length. Throws
/// scheduler::RejectedError.
Lease take_images(Budgets& budgets, const scheduler::Scheduler& scheduler, std::int64_t count,
                  const std::string& caller);

}  // namespace itemcrop::service
