#include "service/fair_pool.h"

#include <utility>

#include <boost/asio/post.hpp>

namespace itemcrop::service {

void FairPool::post(const std::string& caller, std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    std::deque<std::function<void()>>& waiting = tasks_[caller];
    waiting.push_back(std::move(task));
    if (waiting.size() == 1) turns_.push_back(caller);
  }
  // As many calls as tasks, whichever task each then takes.
  boost::asio::post(threads_, [this] { run_next(); });
}

void FairPool::run_next() {
  std::function<void()> task;
  {
    const std::lock_guard lock(mutex_);
    const auto found = tasks_.find(turns_.front());
    task = std::move(found->second.front());
    found->second.pop_front();
    if (found->second.empty()) {
      tasks_.erase(found);
    } else {
      turns_.push_back(std::move(turns_.front()));
    }
    turns_.pop_front();
  }
  task();
}

}  // namespace itemcrop::service
