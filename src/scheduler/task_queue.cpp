#include "scheduler/task_queue.h"

#include <algorithm>
#include <utility>

namespace itemcrop::scheduler {

std::uint64_t TaskQueue::next_finish_time(Priority priority, const std::string& caller,
                                          std::uint64_t passes) const {
  const VirtualClock& clock = clocks_[static_cast<std::size_t>(priority)];
  const auto last = clock.finish_times.find(caller);
  return std::max(clock.now, last == clock.finish_times.end() ? 0 : last->second) + passes;
}

void TaskQueue::push(PendingPtr pending) {
  const Priority priority = pending->task.priority;
  pending->finish_time = next_finish_time(priority, pending->task.caller, pending->passes);
  clocks_[static_cast<std::size_t>(priority)].finish_times[pending->task.caller] =
      pending->finish_time;
  auto lane = std::ranges::find(lanes_, pending->served, &Lane::served);
  if (lane == lanes_.end()) {
    lanes_.push_back({pending->served, {}});
    lane = lanes_.end() - 1;
  }
  std::deque<PendingPtr>& waiting = lane->of(priority);
  const auto later =
      std::ranges::upper_bound(waiting, pending->finish_time, {}, &Pending::finish_time);
  waiting.insert(later, std::move(pending));
}

std::optional<TaskQueue::Choice> TaskQueue::choose(const DeviceId& device,
                                                   const Interleaving& interleaving) const {
  // Index of the lane whose first task of each priority is due first.
  std::array<std::optional<std::size_t>, 2> first;
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    if (lanes_[i].served->replica(device) == nullptr) continue;
    for (std::size_t p = 0; p < first.size(); ++p) {
      const std::deque<PendingPtr>& tasks = lanes_[i].waiting[p];
      if (tasks.empty()) continue;
      const auto due = [p](const Lane& lane) {
        const Pending& pending = *lane.waiting[p].front();
        return std::pair(pending.finish_time, pending.sequence);
      };
      if (!first[p] || due(lanes_[i]) < due(lanes_[*first[p]])) {
        first[p] = i;
      }
    }
  }
  const auto& [interactive, job] = first;
  const bool job_is_due = job && interleaving.interactive_in_a_row >= interactive_per_job_;
  if (interactive && !job_is_due) return Choice{*interactive, Priority::kInteractive};
  if (job) return Choice{*job, Priority::kJob};
  return std::nullopt;
}

std::optional<TaskQueue::Preview> TaskQueue::preview(const DeviceId& device,
                                                     const Interleaving& interleaving) const {
  const std::optional<Choice> choice = choose(device, interleaving);
  if (!choice) return std::nullopt;
  const Lane& lane = lanes_[choice->lane];
  Preview result{lane.of(choice->priority).front()->arrived,
                 lane.of(Priority::kInteractive).size()};
  if (choice->priority == Priority::kJob) result.tasks += lane.of(Priority::kJob).size();
  return result;
}

bool TaskQueue::job_waits_for(const DeviceId& device) const {
  return std::ranges::any_of(lanes_, [&](const Lane& lane) {
    return !lane.of(Priority::kJob).empty() && lane.served->replica(device) != nullptr;
  });
}

std::vector<PendingPtr> TaskQueue::take(const DeviceId& device, const BatchLimits& limits,
                                        Interleaving& interleaving) {
  std::vector<PendingPtr> batch;
  const std::optional<Choice> choice = choose(device, interleaving);
  if (!choice) return batch;
  Lane& lane = lanes_[choice->lane];
  std::deque<PendingPtr>& interactive = lane.of(Priority::kInteractive);
  std::deque<PendingPtr>& jobs = lane.of(Priority::kJob);
  bool only_jobs = true;
  std::size_t bytes = 0;
  while (batch.size() < std::max<std::size_t>(limits.max_images, 1)) {
    const bool job_is_due =
        !jobs.empty() && interleaving.interactive_in_a_row >= interactive_per_job_;
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
    VirtualClock& clock = clocks_[static_cast<std::size_t>(priority)];
    clock.now = std::max(clock.now, from.front()->finish_time - from.front()->passes);
    batch.push_back(std::move(from.front()));
    from.pop_front();
    if (priority == Priority::kJob) {
      interleaving.interactive_in_a_row = 0;
    } else {
      only_jobs = false;
      if (job_waits_for(device)) ++interleaving.interactive_in_a_row;
    }
  }
  drop_empty_lanes();
  for (VirtualClock& clock : clocks_) {
    std::erase_if(clock.finish_times,
                  [&](const auto& caller) { return caller.second <= clock.now; });
  }
  return batch;
}

std::size_t TaskQueue::size(Priority priority) const {
  std::size_t tasks = 0;
  for (const Lane& lane : lanes_) tasks += lane.of(priority).size();
  return tasks;
}

void TaskQueue::drop_empty_lanes() {
  std::erase_if(lanes_, [](const Lane& lane) { return lane.empty(); });
  // No caller owes the others time once nothing waits.
  if (lanes_.empty()) {
    for (VirtualClock& clock : clocks_) clock.finish_times.clear();
  }
}

}  // namespace itemcrop::scheduler
