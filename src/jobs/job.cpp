#include "jobs/job.h"

#include "core/enum_names.h"

namespace itemcrop::jobs {

std::string_view to_string(JobStatus status) noexcept {
  static constexpr EnumNames<JobStatus::kFailed> kNames("queued", "running", "done", "cancelled",
                                                        "failed");
  return kNames[status];
}

std::string_view to_string(ImageState state) noexcept {
  static constexpr EnumNames<ImageState::kCancelled> kNames("waiting", "done", "failed",
                                                            "cancelled");
  return kNames[state];
}

}  // namespace itemcrop::jobs
