#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "itemcrop/error.h"

#include "jobs/job.h"

namespace itemcrop::jobs {

struct JobStoreOptions {
  std::filesystem::path file;                ///< the journal; its folder must exist
  std::size_t max_images = 1000;             ///< images a job
  std::size_t max_text_bytes = 64 << 10;     ///< options, owner, id or source of one image
  std::size_t max_image_bytes = 20'000'000;  ///< NewImage::bytes
  std::size_t max_result_bytes = 16 << 20;   ///< one image's result; longer ones are refused
  std::size_t max_unfinished = 100;          ///< jobs that are queued or running
  /// Of what others leave of the limits of all jobs (core/budget.h), for one owner.
  double owner_share = 1;
  std::size_t max_jobs = 10'000;  ///< jobs kept; the oldest finished ones go first
  /// Counted for each image beside its texts and bytes: its rows and their indexes.
  std::uint64_t row_bytes = 256;
  /// Sources, images and results of all kept jobs, in bytes, as counted and as the file's pages
  /// in use.
  /// Past it create() is refused, and a result that is no failure: finish() wants a failure then.
  std::uint64_t max_bytes = std::uint64_t{4} << 30;
  /// Results and events are given a page at a time: at most this many bytes, and at least one.
  std::size_t max_page_bytes = 32 << 20;
  std::chrono::seconds retention = std::chrono::hours(24);  ///< finished jobs live this long
};

struct JobCounts {
  std::int64_t queued = 0, running = 0, done = 0, failed = 0, cancelled = 0;
  std::uint64_t bytes = 0;  ///< as bounded by max_bytes
};

/// Calls back until it is destroyed or reset; after that no call runs (except the one that destroys
/// it).
class Subscription {
 public:
  struct Listener;

  Subscription() = default;
  explicit Subscription(std::shared_ptr<Listener> listener) : listener_(std::move(listener)) {}
  Subscription(Subscription&&) noexcept = default;
  Subscription& operator=(Subscription&& other) noexcept;
  ~Subscription() { reset(); }

  void reset() noexcept;

 private:
  std::shared_ptr<Listener> listener_;
};

/// The journal of jobs: an SQLite file in WAL mode, held by one process at a time. What a call has
/// returned survives a kill at any moment; after a power failure the newest results may be missing
/// (their images run again), never a job that create() returned.
///
/// Every call is one transaction under one mutex and may wait for the disk: not for an event loop.
/// All throw Error(kIo), with nothing changed, if the disk is full or fails; kNotFound for an
/// unknown or expired job where no other answer is said.
class JobStore {
 public:
  /// Opens or makes the journal; unfinished jobs continue with the images that have no result.
  /// Throws Error: kNotFound (no folder), kIo (cannot be opened, damaged, or newer than this
  /// build), kUnavailable (another process holds it).
  explicit JobStore(JobStoreOptions options);
  ~JobStore();
  JobStore(const JobStore&) = delete;
  JobStore& operator=(const JobStore&) = delete;

  /// Throws Error: kInvalidArgument (no images), kLimitExceeded (names the limit), kOverloaded (too
  /// many unfinished jobs, or the journal is full).
  JobInfo create(const NewJob& job);

  std::optional<JobInfo> find(std::string_view id);
  /// Images from `offset` on, also those without a result yet: at most `limit` (1 to 1000), fewer
  /// where max_page_bytes ends the page; the next page begins at offset + images.size().
  ResultsPage results(std::string_view id, std::int64_t offset, std::int64_t limit);
  /// Events with a sequence above `after`, oldest first, in pages likewise.
  EventsPage events(std::string_view id, std::int64_t after, std::int64_t limit);
  /// Cancels what has no result yet; a finished job stays as it is. Use JobRunner::cancel, which
  /// also stops what is being processed.
  JobInfo cancel(std::string_view id);
  JobCounts counts();

  /// `changed` is called after every commit that concerns the job, on the thread that made it,
  /// without locks: it should only wake somebody who then reads events(). Also for an unknown id.
  Subscription subscribe(std::string_view id, std::function<void()> changed);

  /// For the runner. Hands out an image without a result that is not handed out yet; jobs take
  /// turns, so that a large one does not hold up a small one. None: nothing to do now.
  std::optional<JobImage> claim();
  /// Takes an image back, to be handed out again later.
  void release(const JobImage& image) noexcept;
  /// Commits an image's result and frees its inline bytes. False, and nothing changes, if it has a
  /// result already or its job was cancelled or deleted. Throws Error(kLimitExceeded) for a result
  /// too large by itself or for the journal, kIo; the image stays handed out then.
  bool finish(const JobImage& image, std::string_view result, bool failed);

  /// Deletes finished jobs past retention or max_jobs and gives space back, a bounded amount a
  /// call. Returns the number of jobs deleted.
  std::size_t sweep(WallTime now = std::chrono::system_clock::now());

  /// `available` is called when a claim may succeed again (a new job, a release). One listener.
  void on_available(std::function<void()> available);

  const JobStoreOptions& options() const noexcept;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace itemcrop::jobs
