#include "scheduler/work_queue.h"

#include <algorithm>
#include <utility>

namespace itemcrop::scheduler {

std::uint64_t WorkQueue::next_turn(Priority priority, const std::string& caller,
                                   std::uint64_t passes) const {
  const Shares& shares = shares_[static_cast<std::size_t>(priority)];
  const auto last = shares.turns.find(caller);
  return std::max(shares.now, last == shares.turns.end() ? 0 : last->second) + passes;
}

void WorkQueue::push(PendingPtr work) {
  const Priority priority = work->work.priority;
  work->turn = next_turn(priority, work->work.caller, work->passes);
  shares_[static_cast<std::size_t>(priority)].turns[work->work.caller] = work->turn;
  auto lane = std::ranges::find(lanes_, work->served, &Lane::served);
  if (lane == lanes_.end()) {
    lanes_.push_back({work->served, {}});
    lane = lanes_.end() - 1;
  }
  std::deque<PendingPtr>& waiting = lane->of(priority);
  const auto later = std::ranges::upper_bound(waiting, work->turn, {}, &Pending::turn);
  waiting.insert(later, std::move(work));
}

std::optional<WorkQueue::Choice> WorkQueue::choose(const DeviceId& device, const Turn& turn) const {
  // Index of the lane whose first work of each priority is due first.
  std::array<std::optional<std::size_t>, 2> first;
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    if (lanes_[i].served->replica(device) == nullptr) continue;
    for (std::size_t p = 0; p < first.size(); ++p) {
      const std::deque<PendingPtr>& works = lanes_[i].waiting[p];
      if (works.empty()) continue;
      const auto due = [p](const Lane& lane) {
        const Pending& work = *lane.waiting[p].front();
        return std::pair(work.turn, work.sequence);
      };
      if (!first[p] || due(lanes_[i]) < due(lanes_[*first[p]])) {
        first[p] = i;
      }
    }
  }
  const auto& [interactive, job] = first;
  const bool job_is_due = job && turn.interactive_in_a_row >= interactive_per_job_;
  if (interactive && !job_is_due) return Choice{*interactive, Priority::kInteractive};
  if (job) return Choice{*job, Priority::kJob};
  return std::nullopt;
}

std::optional<WorkQueue::Preview> WorkQueue::preview(const DeviceId& device,
                                                     const Turn& turn) const {
  const std::optional<Choice> choice = choose(device, turn);
  if (!choice) return std::nullopt;
  const Lane& lane = lanes_[choice->lane];
  Preview result{lane.of(choice->priority).front()->arrived,
                 lane.of(Priority::kInteractive).size()};
  if (choice->priority == Priority::kJob) result.works += lane.of(Priority::kJob).size();
  return result;
}

bool WorkQueue::job_waits_for(const DeviceId& device) const {
  return std::ranges::any_of(lanes_, [&](const Lane& lane) {
    return !lane.of(Priority::kJob).empty() && lane.served->replica(device) != nullptr;
  });
}

std::vector<PendingPtr> WorkQueue::take(const DeviceId& device, const BatchLimits& limits,
                                        Turn& turn) {
  std::vector<PendingPtr> batch;
  const std::optional<Choice> choice = choose(device, turn);
  if (!choice) return batch;
  Lane& lane = lanes_[choice->lane];
  std::deque<PendingPtr>& interactive = lane.of(Priority::kInteractive);
  std::deque<PendingPtr>& jobs = lane.of(Priority::kJob);
  bool only_jobs = true;
  std::size_t bytes = 0;
  while (batch.size() < std::max<std::size_t>(limits.max_images, 1)) {
    const bool job_is_due = !jobs.empty() && turn.interactive_in_a_row >= interactive_per_job_;
    // Jobs of another model that are due begin the next batch.
    const bool begins_with_job = batch.empty() && choice->priority == Priority::kJob;
    Priority priority = Priority::kInteractive;
    if (job_is_due || begins_with_job || (interactive.empty() && only_jobs)) {
      priority = Priority::kJob;
    }
    std::deque<PendingPtr>& from = lane.of(priority);
    if (from.empty()) break;
    bytes += from.front()->workspace_bytes;
    if (!batch.empty() && limits.max_bytes != 0 && bytes > limits.max_bytes) break;
    Shares& shares = shares_[static_cast<std::size_t>(priority)];
    shares.now = std::max(shares.now, from.front()->turn - from.front()->passes);
    batch.push_back(std::move(from.front()));
    from.pop_front();
    if (priority == Priority::kJob) {
      turn.interactive_in_a_row = 0;
    } else {
      only_jobs = false;
      if (job_waits_for(device)) ++turn.interactive_in_a_row;
    }
  }
  drop_empty_lanes();
  for (Shares& shares : shares_) {
    std::erase_if(shares.turns, [&](const auto& caller) { return caller.second <= shares.now; });
  }
  return batch;
}

std::size_t WorkQueue::size(Priority priority) const {
  std::size_t works = 0;
  for (const Lane& lane : lanes_) works += lane.of(priority).size();
  return works;
}

void WorkQueue::drop_empty_lanes() {
  std::erase_if(lanes_, [](const Lane& lane) { return lane.empty(); });
  // Nobody is behind anybody any more.
  if (lanes_.empty()) {
    for (Shares& shares : shares_) shares.turns.clear();
  }
}

}  // namespace itemcrop::scheduler
