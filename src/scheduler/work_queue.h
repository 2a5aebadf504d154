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

/// A work that submit() took and that has no answer yet.
struct Pending {
  Work work;
  Done done;
  std::shared_ptr<const ServedModel> served;  ///< the copy it was submitted to, for good
  std::uint64_t sequence = 0;                 ///< order of arrival
  std::uint64_t passes = 1;                   ///< of the model
  std::uint64_t turn = 0;                     ///< set by the queue: the least goes first
  Clock::time_point arrived;
  std::size_t bytes = 0;            ///< of its picture
  std::size_t workspace_bytes = 0;  ///< what a call with it alone needs; 0: not asked
  bool answered = false;            ///< its Done is called or about to be; nobody else may
};
using PendingPtr = std::shared_ptr<Pending>;

/// What a device remembers between batches, so that jobs get their share.
struct Turn {
  int interactive_in_a_row = 0;  ///< pictures taken while a job waited
};

struct BatchLimits {
  std::size_t max_images = 1;
  std::size_t max_bytes = 0;  ///< sum of Pending::workspace_bytes; 0: no limit
};

/// Waiting works in order of their turns, by loaded model and priority, and the rule by which a
/// device takes them (Scheduler's documentation). Not thread-safe.
class WorkQueue {
 public:
  /// Works of one loaded model.
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

  explicit WorkQueue(int interactive_per_job) : interactive_per_job_(interactive_per_job) {}

  void push(PendingPtr work);

  /// The turn that a work would get if it came now. Weighted fair queueing: turns are virtual
  /// finish times (Demers, Keshav and Shenker 1989) with a pass of the model as their unit.
  std::uint64_t next_turn(Priority priority, const std::string& caller, std::uint64_t passes) const;

  /// The oldest arrival among the works that a batch begun now on `device` could hold, and how
  /// many these are; none if nothing waits for the device.
  struct Preview {
    Clock::time_point oldest;
    std::size_t works = 0;
  };
  std::optional<Preview> preview(const DeviceId& device, const Turn& turn) const;

  /// The next batch for `device`, at least one work unless nothing waits for it.
  std::vector<PendingPtr> take(const DeviceId& device, const BatchLimits& limits, Turn& turn);

  /// Takes out every work that `goes(work)` is true for, asked once a work.
  template <class Goes>
  std::vector<PendingPtr> remove_if(const Goes& goes) {
    std::vector<PendingPtr> removed;
    for (Lane& lane : lanes_) {
      for (std::deque<PendingPtr>& works : lane.waiting) {
        const auto gone = std::stable_partition(
            works.begin(), works.end(), [&](const PendingPtr& work) { return !goes(*work); });
        std::move(gone, works.end(), std::back_inserter(removed));
        works.erase(gone, works.end());
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
  std::optional<Choice> choose(const DeviceId& device, const Turn& turn) const;
  bool job_waits_for(const DeviceId& device) const;
  /// An empty lane would keep a replaced model alive.
  void drop_empty_lanes();

  int interactive_per_job_;
  std::vector<Lane> lanes_;
  struct Shares {
    std::uint64_t now = 0;                       ///< when the latest work taken had its start
    std::map<std::string, std::uint64_t> turns;  ///< the last turn of each caller that is past it
  };
  std::array<Shares, 2> shares_;  ///< by Priority
};

}  // namespace itemcrop::scheduler
