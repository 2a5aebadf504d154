#pragma once

#include <atomic>
#include <csignal>
#include <functional>
#include <thread>

namespace itemcrop::cli {

/// While it lives, SIGINT and SIGTERM run `save` on a thread of its own and then end the process
/// with exit code 130, at once and whatever the other threads do: a model call may take a minute.
/// `save` must lock whatever it shares with them; it may not throw. Signals that the parent process
/// set to be ignored stay ignored.
///
/// Construct it before any other thread starts: threads inherit the blocked signals.
class InterruptWatch {
 public:
  explicit InterruptWatch(std::function<void()> save);
  ~InterruptWatch();
  InterruptWatch(const InterruptWatch&) = delete;
  InterruptWatch& operator=(const InterruptWatch&) = delete;

 private:
  std::function<void()> save_;
  sigset_t watched_{};
  sigset_t previous_mask_{};
  int wake_signal_ = 0;  ///< one of the watched; 0: none is
  std::atomic<bool> stopping_ = false;
  std::thread watcher_;
};

}  // namespace itemcrop::cli
