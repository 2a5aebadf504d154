#include "core/thread_pool.h"

#include <atomic>
#include <cstdint>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace itemcrop {
namespace {

class ThreadPools : public testing::TestWithParam<int> {
 protected:
  ThreadPool pool_{GetParam()};
};

TEST_P(ThreadPools, RunsEveryTaskOnce) {
  EXPECT_EQ(pool_.size(), GetParam());
  for (const std::int64_t tasks : {0, 1, 2, 3, 100, 1000}) {
    std::vector<std::atomic<int>> runs(static_cast<std::size_t>(tasks));
    pool_.parallel_for(tasks, [&](std::int64_t task, int worker) {
      ++runs[static_cast<std::size_t>(task)];
      EXPECT_GE(worker, 0);
      EXPECT_LT(worker, GetParam());
    });
    for (const std::atomic<int>& count : runs) EXPECT_EQ(count, 1);
  }
}

TEST_P(ThreadPools, AWorkerIsOneThread) {
  std::mutex mutex;
  std::set<std::pair<int, std::thread::id>> seen;
  pool_.parallel_for(200, [&](std::int64_t, int worker) {
    const std::lock_guard lock(mutex);
    seen.emplace(worker, std::this_thread::get_id());
  });
  std::set<int> workers;
  for (const auto& [worker, thread] : seen) {
    EXPECT_TRUE(workers.insert(worker).second) << "worker " << worker << " was two threads";
    EXPECT_EQ(worker == 0, thread == std::this_thread::get_id());
  }
}

TEST_P(ThreadPools, ResultsOfACallAreSeenAfterIt) {
  std::vector<std::int64_t> values(500, 0);
  for (int round = 0; round < 200; ++round) {
    pool_.parallel_for(
        500, [&](std::int64_t task, int) { values[static_cast<std::size_t>(task)] += task; });
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(values[i], static_cast<std::int64_t>(200 * i));
  }
}

TEST_P(ThreadPools, RethrowsAndStaysUsable) {
  std::atomic<int> runs{0};
  try {
    pool_.parallel_for(100000, [&](std::int64_t task, int) {
      ++runs;
      if (task == 10) throw std::runtime_error("task 10");
    });
    FAIL() << "nothing was thrown";
  } catch (const std::runtime_error& error) {
    EXPECT_EQ(std::string(error.what()), "task 10");
  }
  EXPECT_GE(runs, 11);
  EXPECT_LT(runs, 100000) << "the other tasks were not called off";

  std::atomic<int> later{0};
  pool_.parallel_for(50, [&](std::int64_t, int) { ++later; });
  EXPECT_EQ(later, 50);
}

TEST_P(ThreadPools, ThrowsOneOfManyErrors) {
  EXPECT_THROW(
      pool_.parallel_for(64, [](std::int64_t, int) { throw std::runtime_error("every task"); }),
      std::runtime_error);
}

INSTANTIATE_TEST_SUITE_P(Sizes, ThreadPools, testing::Values(1, 2, 3, 8),
                         testing::PrintToStringParamName());

TEST(ThreadPool, UsesItsThreads) {
  // Each task waits until both have begun: one thread alone would never finish.
  ThreadPool pool(2);
  std::atomic<int> begun{0};
  pool.parallel_for(2, [&](std::int64_t, int) {
    ++begun;
    while (begun < 2) std::this_thread::yield();
  });
  EXPECT_EQ(begun, 2);
}

TEST(ThreadPool, PoolsDoNotMeddleWithEachOther) {
  std::vector<std::thread> callers;
  std::atomic<int> sum{0};
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      ThreadPool pool(3);
      for (int round = 0; round < 50; ++round) {
        pool.parallel_for(20, [&](std::int64_t, int) { ++sum; });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(sum, 4 * 50 * 20);
}

TEST(HardwareThreads, IsAtLeastOneAndAtMostTheMachines) {
  EXPECT_GE(hardware_threads(), 1);
  if (const unsigned int all = std::thread::hardware_concurrency(); all != 0) {
    EXPECT_LE(hardware_threads(), static_cast<int>(all));
  }
}

}  // namespace
}  // namespace itemcrop
