#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "unit/engine/micro_engine.h"

namespace itemcrop {
namespace {

TEST(EngineConcurrency, OneModelServesManyThreadsWithTheSameAnswers) {
  constexpr int kThreads = 4;
  constexpr int kCalls = 3;
  const auto engine = test::micro_engine();
  const test::Image image = test::procedural_image(1, 96, 64);
  const DetectRequest request = test::request_for(image, {"navy blazer", "pants"});
  DetectOptions options;
  options.device = Device::kCpu;
  options.precision = Precision::kFp32;
  options.threads = 2;

  // No call before: the threads also race to prepare the weights.
  std::vector<std::vector<float>> logits(kThreads);
  std::atomic<int> differing{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int call = 0; call < kCalls; ++call) {
        const auto raw = engine->detect_raw(std::span(&request, 1), options, {});
        auto& mine = logits[static_cast<std::size_t>(t)];
        if (call > 0 && mine != raw[0][0].output.logits) ++differing;
        mine = raw[0][0].output.logits;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(differing, 0);
  for (const auto& other : logits) EXPECT_EQ(other, logits[0]);
}

}  // namespace
}  // namespace itemcrop
