#include <gtest/gtest.h>

#include "scheduler/scheduler.h"
#include "scripted_model.h"
#include "unit/engine/micro_engine.h"

namespace itemcrop::scheduler {
namespace {

/// Images of different sizes and prompts of different lengths.
std::vector<std::pair<test::Image, std::vector<std::string>>> cases() {
  return {{test::procedural_image(1, 90, 60), {"navy blazer", "shoe"}},
          {test::procedural_image(2, 40, 120), {"hat"}},
          {test::procedural_image(3, 64, 64), {"scarf", "belt", "coat", "bag"}},
          {test::procedural_image(4, 200, 50), {"navy blazer"}}};
}

TEST(RealModel, AnswersAreTheSameThroughTheScheduler) {
  const auto engine = test::micro_engine();
  const auto inputs = cases();
  DetectOptions options = test::on_cpu();
  options.precision = Precision::kFp32;
  options.threads = 2;
  Scheduler scheduler(test::registry_of(engine, {options}),
                      {.max_batch_images = 4,
                       .max_batch_bytes = std::size_t{1} << 30,
                       .window = std::chrono::milliseconds(200)});
  std::vector<std::future<test::Ended>> futures;
  for (const auto& [image, items] : inputs) {
    Task task;
    task.request = test::request_for(image, items);
    futures.push_back(test::submit(scheduler, std::move(task)));
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const test::Ended ended = futures[i].get();
    ASSERT_TRUE(ended.ok());
    EXPECT_EQ(ended.outcome.batch_images, 4U);
    const DetectRequest request = test::request_for(inputs[i].first, inputs[i].second);
    const DetectReport alone = engine->detect(std::span(&request, 1), options);
    const auto& expected = alone.results[0].detections;
    const auto& found = ended.outcome.result.detections;
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t d = 0; d < found.size(); ++d) {
      EXPECT_EQ(found[d].item, expected[d].item);
      EXPECT_EQ(found[d].score, expected[d].score);
      EXPECT_EQ(found[d].box.x0, expected[d].box.x0);
    }
  }
}

/// What batches are bounded by: no batch needs more than its members alone together.
TEST(RealModel, EstimatesOfTheMembersBoundABatch) {
  const auto engine = test::micro_engine();
  DetectOptions options = test::on_cpu();
  options.precision = Precision::kFp32;
  const auto inputs = cases();
  std::vector<DetectRequest> requests;
  std::size_t sum = 0;
  for (const auto& [image, items] : inputs) {
    requests.push_back(test::request_for(image, items));
    sum += engine->estimate(std::span(&requests.back(), 1), options).workspace_bytes;
    EXPECT_LE(engine->estimate(requests, options).workspace_bytes, sum);
  }
  EXPECT_GT(sum, 0U);
}

}  // namespace
}  // namespace itemcrop::scheduler
