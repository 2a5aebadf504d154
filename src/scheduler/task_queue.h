#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "scheduler/scheduler.h"

namespace itemcrop::scheduler {

/// A task that submit() took and that has not completed.
struct Pending {
  Task task;
  Done done;
  std::shared_ptr<const ServedModel> served;  ///< the copy it was submitted to, for good
  std::uint64_t sequence = 0;                 ///< order of arrival
  std::uint64_t passes = 1;                   ///< of the model
  std::uint64_t finish_time = 0;              ///< virtual, set by push(): the least runs first
  Clock::time_point arrived;
  std::size_t bytes = 0;            ///< of its image
  std::size_t workspace_bytes = 0;  ///< what a call with it alone needs; 0: not asked
  bool completed = false;           ///< its Done was called or is about to be
};
using PendingPtr = std::shared_ptr<Pending>;

/// What a device keeps between batches, so that jobs get their share.
struct Interleaving {
  int interactive_in_a_row = 0;  ///< images taken while a job waited
};

struct BatchLimits {
  std::size_t max_images = 1;
  std::size_t max_bytes = 0;  ///< sum of Pending::workspace_bytes; 0: no limit
};

/// Waiting tasks in order of their virtual finish times, by loaded model and priority, and the rule
/// by which a device takes them (Scheduler's documentation). Not thread-safe.
class TaskQueue {
 public:
  /// Tasks of one loaded model.
  struct Lane {
    std::shared_ptr<const ServedModel> served;
    std::array<std::deque<PendingPtr>, 2> waiting;  ///< by Priority

    const std::deque<PendingPtr>& of(Priority priority) const {
      return waiting[static_cast<std::size_t>(priority)];
    }
    std::deque<PendingPtr>& of(Priority priority) {
      return waiting[static_cast<std::size_t>(priority)];
    }
    bool empty() const { return waiting[0].empty() && waiting[1].empty(); }
  };

  explicit TaskQueue(int interactive_per_job) : interactive_per_job_(interactive_per_job) {}

  void push(PendingPtr pending);

  /// The virtual finish time that a task would get if it came now: fair queueing (Demers, Keshav
  /// and Shenker 1989) among callers, with a pass of the model as the unit.
  std::uint64_t next_finish_time(Priority priority, const std::string& caller,
                                 std::uint64_t passes) const;

  /// The oldest arrival among the tasks that a batch begun now on `device` could hold, and how
  /// many these are; none if nothing waits for the device.
  struct Preview {
    Clock::time_point oldest;
    std::size_t tasks = 0;
  };
  std::optional<Preview> preview(const DeviceId& device, const Interleaving& interleaving) const;

  /// The next batch for `device`, at least one task unless nothing waits for it.
  std::vector<PendingPtr> take(const DeviceId& device, const BatchLimits& limits,
                               Interleaving& interleaving);

  /// Takes out every task that `goes(task)` is true for, asked once a task.
  template <class Goes>
  std::vector<PendingPtr> remove_if(const Goes& goes) {
    std::vector<PendingPtr> removed;
    for (Lane& lane : lanes_) {
      for (std::deque<PendingPtr>& tasks : lane.waiting) {
        const auto gone = std::stable_partition(
            tasks.begin(), tasks.end(), [&](const PendingPtr& pending) { return !goes(*pending); });
        std::move(gone, tasks.end(), std::back_inserter(removed));
        tasks.erase(gone, tasks.end());
      }
    }
    drop_empty_lanes();
    return removed;
  }

  std::size_t size(Priority priority) const;
  std::size_t size() const { return size(Priority::kInteractive) + size(Priority::kJob); }
  bool empty() const { return lanes_.empty(); }
  const std::vector<Lane>& lanes() const noexcept { return lanes_; }

 private:
  struct Choice {
    std::size_t lane = 0;
    Priority priority = Priority::kInteractive;
  };
  std::optional<Choice> choose(const DeviceId& device, const Interleaving& interleaving) const;
  bool job_waits_for(const DeviceId& device) const;
  /// An empty lane would keep a replaced model alive.
  void drop_empty_lanes();

  int interactive_per_job_;
  std::vector<Lane> lanes_;
  struct VirtualClock {
    std::uint64_t now = 0;  ///< virtual start of the latest task taken
    std::map<std::string, std::uint64_t>
        finish_times;  ///< latest of each caller, while after `now`
  };
  std::array<VirtualClock, 2> clocks_;  ///< by Priority
};

}  // namespace itemcrop::scheduler
