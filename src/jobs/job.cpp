#include "jobs/job.h"

namespace itemcrop::jobs {

std::string_view to_string(JobStatus status) noexcept {
  switch (status) {
    case JobStatus::kQueued:
      return "queued";
    case JobStatus::kRunning:
      return "running";
    case JobStatus::kDone:
      return "done";
    case JobStatus::kCancelled:
      return "cancelled";
  }
  return "cancelled";
}

std::string_view to_string(ImageState state) noexcept {
  switch (state) {
    case ImageState::kWaiting:
      return "waiting";
    case ImageState::kDone:
      return "done";
    case ImageState::kFailed:
      return "failed";
    case ImageState::kCancelled:
      return "cancelled";
  }
  return "cancelled";
}

}  // namespace itemcrop::jobs
