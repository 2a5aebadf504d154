#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace itemcrop::jobs {

/// kFailed: every image has a result, and each is a failure. The journal knows it as done.
enum class JobStatus { kQueued, kRunning, kDone, kCancelled, kFailed };
std::string_view to_string(JobStatus status) noexcept;  ///< "queued", "running", "done", ...

enum class ImageState { kWaiting, kDone, kFailed, kCancelled };
std::string_view to_string(ImageState state) noexcept;  ///< "waiting", "done", ...

using WallTime = std::chrono::system_clock::time_point;  ///< whole milliseconds

/// One image of a job to be made. The store does not look into any of these.
struct NewImage {
  std::string id;      ///< the client's name for it; may be empty
  std::string source;  ///< where it comes from, as text ("{\"url\": ...}")
  std::string bytes;   ///< an inline image's own bytes; kept until its result is there
};

struct NewJob {
  std::string options;  ///< opaque text
  std::string owner;    ///< opaque text, such as a hash of the caller's key; may be empty
  std::vector<NewImage> images;
};

struct JobInfo {
  std::string id;  ///< "job_" and 32 hexadecimal digits, not to be guessed
  JobStatus status = JobStatus::kQueued;
  std::string options;
  std::string owner;
  std::int64_t total = 0;
  std::int64_t done = 0;        ///< with a result
  std::int64_t failed = 0;      ///< with a failure; not part of done
  std::int64_t last_event = 0;  ///< sequence of the newest event
  WallTime created;
  WallTime finished;  ///< epoch while it is queued or running

  bool finished_for_good() const noexcept {
    return status != JobStatus::kQueued && status != JobStatus::kRunning;
  }
};

/// One image of a job, as its results page shows it.
struct ImageResult {
  std::int64_t position = 0;  ///< 0-based, in the order of the request
  std::string id;
  ImageState state = ImageState::kWaiting;
  std::string result;  ///< opaque text; empty while there is none
};

struct ResultsPage {
  JobInfo job;
  std::vector<ImageResult> images;
};

/// An image got its result. Sequences of a job are 1, 2, 3, ... in the order of their commits.
struct JobEvent {
  std::int64_t sequence = 0;
  ImageResult image;
  std::int64_t done = 0;    ///< the job's, after this event
  std::int64_t failed = 0;  ///< the job's, after this event
};

struct EventsPage {
  JobInfo job;
  std::vector<JobEvent> events;
  /// The job is done, failed or cancelled and no event follows these: send `done` with the id
  /// job.last_event + 1.
  bool complete = false;
};

/// An image handed out to be processed.
struct JobImage {
  std::string job_id;
  std::shared_ptr<const std::string> options;  ///< NewJob::options
  std::string owner;
  std::int64_t position = 0;
  std::string id;
  std::string source;
  std::string bytes;
  int attempt = 1;  ///< 1 for the first; JobRunner counts
};

}  // namespace itemcrop::jobs
