#include "cli/interrupt_watch.h"

#include <utility>

#include <pthread.h>
#include <unistd.h>

#include "cli/exit_code.h"

namespace itemcrop::cli {

InterruptWatch::InterruptWatch(std::function<void()> save) : save_(std::move(save)) {
  sigemptyset(&watched_);
  for (const int signal : {SIGINT, SIGTERM}) {
    struct sigaction action {};
    // Linux queues a blocked signal even if it is ignored, so ignored ones must not be blocked.
    if (sigaction(signal, nullptr, &action) == 0 && action.sa_handler != SIG_IGN) {
      sigaddset(&watched_, signal);
      wake_signal_ = signal;
    }
  }
  pthread_sigmask(SIG_BLOCK, &watched_, &previous_mask_);
  if (wake_signal_ == 0) return;
  watcher_ = std::thread([this] {
    int signal = 0;
    if (sigwait(&watched_, &signal) != 0 || stopping_) return;
    save_();
    ::_exit(kInterrupted);
  });
}

InterruptWatch::~InterruptWatch() {
  if (watcher_.joinable()) {
    stopping_ = true;
    pthread_kill(watcher_.native_handle(), wake_signal_);
    watcher_.join();
  }
  pthread_sigmask(SIG_SETMASK, &previous_mask_, nullptr);
}

}  // namespace itemcrop::cli
