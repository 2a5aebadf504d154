#include "service/fair_pool.h"

#include <atomic>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace itemcrop::service {
namespace {

TEST(FairPool, TakesTasksOfCallersInTurn) {
  FairPool pool(1);
  std::promise<void> begin;
  pool.post("first", [ready = begin.get_future().share()] { ready.wait(); });
  std::string order;
  for (const char caller : std::string("aaaabbc")) {
    pool.post(std::string(1, caller), [&order, caller] { order.push_back(caller); });
  }
  begin.set_value();
  pool.join();
  EXPECT_EQ(order, "abcabaa");
}

TEST(FairPool, RunsEveryTaskOnce) {
  FairPool pool(4);
  std::atomic<int> count = 0;
  {
    std::vector<std::jthread> callers;
    for (int id = 0; id < 4; ++id) {
      callers.emplace_back([&, id] {
        for (int i = 0; i < 1000; ++i) pool.post(std::to_string(id % 3), [&] { ++count; });
      });
    }
  }
  pool.join();
  EXPECT_EQ(count, 4000);
}

}  // namespace
}  // namespace itemcrop::service
