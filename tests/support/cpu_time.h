#pragma once

#include <chrono>
#include <ctime>

namespace itemcrop::test {

/// Processor time of all threads of this process: what other processes do does not count.
inline std::chrono::nanoseconds cpu_time() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace itemcrop::test
