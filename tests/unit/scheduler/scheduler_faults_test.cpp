#include <algorithm>
#include <atomic>
#include <thread>

#include <gtest/gtest.h>

#include "scheduler/scheduler.h"
#include "scripted_model.h"
#include "support/expect_error.h"

namespace itemcrop::scheduler {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using namespace test;

/// Submits `prompts` so that they share one batch (if they fit) and returns how they ended.
class FaultsTest : public ::testing::Test {
 protected:
  void start(ScriptedModel::Step step, SchedulerOptions options = {},
             std::vector<DetectOptions> placements = {on_cpu()}) {
    model_ = std::make_shared<ScriptedModel>(
        [this, step](std::span<const DetectRequest> requests, const DetectOptions& on) {
          if (requests.front().items[0].prompt == "blocker") return gate_.pass();
          step(requests, on);
        });
    if (options.max_batch_images == 0) options.max_batch_images = 8;
    scheduler_ = std::make_unique<Scheduler>(registry_of(model_, std::move(placements)), options);
  }
  std::vector<Ended> run(const std::vector<std::string>& prompts) {
    auto blocker = submit(*scheduler_, make_task("blocker"));
    gate_.wait_arrived();
    std::vector<std::future<Ended>> futures;
    for (const std::string& prompt : prompts) {
      futures.push_back(submit(*scheduler_, make_task(prompt)));
    }
    gate_.open();
    std::vector<Ended> ends;
    for (auto& future : futures) ends.push_back(future.get());
    EXPECT_TRUE(blocker.get().ok());
    return ends;
  }
  std::vector<std::size_t> sizes() const {
    std::vector<std::size_t> sizes = model_->sizes();
    sizes.erase(sizes.begin());  // the blocker's
    return sizes;
  }
  ~FaultsTest() override { gate_.open(); }

  Gate gate_;
  std::shared_ptr<ScriptedModel> model_;
  std::unique_ptr<Scheduler> scheduler_;
};

bool holds(std::span<const DetectRequest> requests, std::string_view prompt) {
  for (const DetectRequest& request : requests) {
    if (request.items[0].prompt == prompt) return true;
  }
  return false;
}

TEST_F(FaultsTest, ABadRequestDoesNotFailItsNeighbours) {
  start([](std::span<const DetectRequest> requests, const DetectOptions&) {
    if (holds(requests, "bad")) throw Error(ErrorCode::kInvalidArgument, "prompt is bad");
    if (holds(requests, "odd")) throw std::runtime_error("what is this");
  });
  const auto ends = run({"a", "bad", "b", "odd"});
  EXPECT_TRUE(ends[0].ok());
  EXPECT_EQ(ends[1].code(), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(ends[2].ok());
  EXPECT_EQ(ends[3].code(), ErrorCode::kInternal);
  EXPECT_EQ(sizes(), (std::vector<std::size_t>{4, 1, 1, 1, 1}));
}

TEST_F(FaultsTest, OutOfMemoryHalvesTheBatch) {
  start([](std::span<const DetectRequest> requests, const DetectOptions&) {
    if (requests.size() > 4) throw Error(ErrorCode::kOutOfMemory, "too much");
  });
  for (const Ended& end : run({"a", "b", "c", "d", "e", "f", "g", "h"})) EXPECT_TRUE(end.ok());
  EXPECT_EQ(sizes(), (std::vector<std::size_t>{8, 4, 4}));
}

TEST_F(FaultsTest, OutOfMemoryFailsOnlyTheWorkThatCannotRunAlone) {
  start([](std::span<const DetectRequest> requests, const DetectOptions&) {
    if (holds(requests, "huge")) throw Error(ErrorCode::kOutOfMemory, "too much");
  });
  const auto ends = run({"a", "huge", "b", "c"});
  EXPECT_TRUE(ends[0].ok());
  EXPECT_EQ(ends[1].code(), ErrorCode::kOutOfMemory);
  EXPECT_TRUE(ends[2].ok());
  EXPECT_TRUE(ends[3].ok());
  EXPECT_EQ(sizes(), (std::vector<std::size_t>{4, 2, 1, 1, 2}));
}

TEST_F(FaultsTest, ALoneImageIsTriedTwice) {
  std::atomic<int> calls = 0;
  start([&](std::span<const DetectRequest> requests, const DetectOptions&) {
    if (holds(requests, "once") && calls++ == 0) throw std::bad_alloc();
    if (holds(requests, "always")) throw std::bad_alloc();
  });
  EXPECT_TRUE(submit(*scheduler_, make_task("once")).get().ok());
  EXPECT_EQ(submit(*scheduler_, make_task("always")).get().code(), ErrorCode::kOutOfMemory);
  EXPECT_EQ(model_->sizes().size(), 4U);
}

/// threats.md: fail the Nth allocation. Whatever N, everybody else is answered.
TEST(SchedulerFaults, FailsTheNthAllocation) {
  for (int nth = 1; nth <= 12; ++nth) {
    int call = 0;
    const auto model =
        std::make_shared<ScriptedModel>([&](std::span<const DetectRequest>, const DetectOptions&) {
          if (++call == nth) throw Error(ErrorCode::kOutOfMemory, "injected");
        });
    Scheduler scheduler(registry_of(model), {.max_batch_images = 4, .window = milliseconds(1)});
    std::vector<std::future<Ended>> futures;
    for (int i = 0; i < 16; ++i) futures.push_back(submit(scheduler, make_task("coat")));
    for (auto& future : futures) EXPECT_TRUE(future.get().ok()) << nth;
  }
}

TEST_F(FaultsTest, BatchesStaySmallerForAWhileAfterOutOfMemory) {
  std::atomic<bool> tight = true;
  start([&](std::span<const DetectRequest> requests, const DetectOptions&) {
    if (tight && requests.size() > 2) throw Error(ErrorCode::kOutOfMemory, "too much");
  });
  for (const Ended& end : run({"a", "b", "c", "d"})) EXPECT_TRUE(end.ok());
  EXPECT_EQ(sizes(), (std::vector<std::size_t>{4, 2, 2}));
  gate_.close();
  tight = false;
  auto blocker = submit(*scheduler_, make_task("blocker"));
  gate_.wait_arrived(2);
  std::vector<std::future<Ended>> futures;
  for (int i = 0; i < 80; ++i) futures.push_back(submit(*scheduler_, make_task("coat")));
  gate_.open();
  for (auto& future : futures) EXPECT_TRUE(future.get().ok());
  const auto after = sizes();
  EXPECT_EQ(after[4], 2U) << "no second failure right away";
  EXPECT_EQ(*std::max_element(after.begin() + 4, after.end()), 3U) << "and it grows again";
}

TEST_F(FaultsTest, ALostDeviceFailsItsWorkAtOnceAndSaysSo) {
  std::promise<std::string> lost;
  SchedulerOptions options;
  Scheduler* scheduler = nullptr;
  options.on_device_lost = [&](const DeviceId& id, const std::string& reason) {
    EXPECT_EQ(id, (DeviceId{Device::kCpu, 0}));
    EXPECT_FALSE(scheduler->status().devices.at(0).healthy);
    lost.set_value(reason);
  };
  options.max_batch_images = 2;
  start([](std::span<const DetectRequest>,
           const DetectOptions&) { throw Error(ErrorCode::kDeviceLost, "an illegal address"); },
        options);
  scheduler = scheduler_.get();
  const auto begun = Clock::now();
  for (const Ended& end : run({"a", "b", "c", "d"})) {
    EXPECT_EQ(end.code(), ErrorCode::kDeviceLost);
  }
  EXPECT_EQ(lost.get_future().get(), "cpu is lost: an illegal address");
  EXPECT_LT(Clock::now() - begun, seconds(1));
  EXPECT_EQ(sizes(), std::vector<std::size_t>{2}) << "nothing runs on it again";
  const DeviceStatus status = scheduler_->status().devices.at(0);
  EXPECT_FALSE(status.healthy);
  EXPECT_EQ(status.reason, "cpu is lost: an illegal address");
  expect_error(ErrorCode::kDeviceLost, "cpu is lost: an illegal address",
               [&] { submit(*scheduler_, make_task("coat")); });
  EXPECT_TRUE(scheduler_->drain(Clock::now() + seconds(20)));
}

/// A client that leaves during a batch's first try and a device that is lost in the second: two
/// reasons to answer the same task.
TEST_F(FaultsTest, AWorkDroppedBetweenTriesIsNotAnsweredAgain) {
  std::stop_source client;
  std::atomic<int> calls = 0;
  start([&](std::span<const DetectRequest>, const DetectOptions&) {
    if (calls++ == 0) {
      client.request_stop();
      throw Error(ErrorCode::kInvalidArgument, "one of them is bad");
    }
    throw Error(ErrorCode::kDeviceLost, "gone");
  });
  auto blocker = submit(*scheduler_, make_task("blocker"));
  gate_.wait_arrived();
  Task leaving = make_task("leaving");
  leaving.stop = client.get_token();
  std::vector<ErrorCode> answers;
  scheduler_->submit(leaving, [&](std::exception_ptr error, Outcome) {
    answers.push_back(Ended{error, {}}.code());
  });
  auto other = submit(*scheduler_, make_task("other"));
  gate_.open();
  EXPECT_EQ(other.get().code(), ErrorCode::kDeviceLost);
  EXPECT_TRUE(scheduler_->drain(Clock::now() + seconds(20)));
  scheduler_.reset();
  EXPECT_EQ(answers, std::vector<ErrorCode>{ErrorCode::kCancelled});
}

TEST(SchedulerFaults, AnotherDeviceTakesOverWaitingWork) {
  Gate gate;
  const auto model =
      std::make_shared<ScriptedModel>([&](std::span<const DetectRequest>, const DetectOptions& on) {
        if (on.device_index == 0) throw Error(ErrorCode::kDeviceLost, "gone");
        gate.pass();
      });
  Scheduler scheduler(registry_of(model, {on_gpu(0), on_gpu(1)}),
                      {.max_batch_images = 1, .window = milliseconds(0)});
  std::vector<std::future<Ended>> futures;
  for (int i = 0; i < 20; ++i) futures.push_back(submit(scheduler, make_task("coat")));
  while (scheduler.status().devices.at(0).healthy) std::this_thread::yield();
  gate.open();
  int failed = 0;
  for (auto& future : futures) failed += future.get().ok() ? 0 : 1;
  EXPECT_EQ(failed, 1);
  EXPECT_TRUE(scheduler.status().devices.at(1).healthy);
}

TEST(SchedulerFaults, AStuckDeviceIsNotHealthyUntilItsCallReturns) {
  Gate gate;
  const auto model = std::make_shared<ScriptedModel>(
      [&](std::span<const DetectRequest>, const DetectOptions&) { gate.pass(); });
  Scheduler scheduler(registry_of(model), {.stuck_after = milliseconds(200)});
  auto pixels = std::make_shared<std::vector<std::uint8_t>>(48);
  const std::weak_ptr<std::vector<std::uint8_t>> watch = pixels;
  Task task = make_task("coat");
  task.request.image.pixels = pixels->data();
  task.keep_alive = std::move(pixels);
  auto in_hand = submit(scheduler, std::move(task));
  auto waiting = submit(scheduler, make_task("next"));
  gate.wait_arrived();
  const auto begun = Clock::now();
  EXPECT_EQ(in_hand.get().code(), ErrorCode::kDeviceLost);
  EXPECT_EQ(waiting.get().code(), ErrorCode::kDeviceLost);
  EXPECT_LT(Clock::now() - begun, seconds(1));
  EXPECT_FALSE(watch.expired()) << "the call still reads its pixels";
  const DeviceStatus stuck = scheduler.status().devices.at(0);
  EXPECT_FALSE(stuck.healthy);
  EXPECT_TRUE(stuck.busy);
  EXPECT_EQ(stuck.reason, "cpu has not answered for 200 ms");
  expect_error(ErrorCode::kDeviceLost, "has not answered",
               [&] { submit(scheduler, make_task("coat")); });
  gate.open();
  while (!scheduler.status().devices.at(0).healthy) std::this_thread::yield();
  EXPECT_TRUE(submit(scheduler, make_task("coat")).get().ok());
  EXPECT_TRUE(watch.expired());
}

/// A call of many passes, as an engine makes it.
void run_steps(const DetectOptions& options, int steps, milliseconds each) {
  for (int step = 0; step < steps; ++step) {
    if (!options.keep_going()) throw Error(ErrorCode::kCancelled, "the call was cancelled");
    std::this_thread::sleep_for(each);
  }
}

TEST(SchedulerFaults, ALongCallThatMakesProgressIsNotStuck) {
  const auto model = std::make_shared<ScriptedModel>(
      [](std::span<const DetectRequest>, const DetectOptions& options) {
        run_steps(options, 30, milliseconds(20));
      });
  Scheduler scheduler(registry_of(model), {.stuck_after = milliseconds(300)});
  auto ended = submit(scheduler, make_task("coat"));
  while (ended.wait_for(milliseconds(10)) != std::future_status::ready) {
    EXPECT_TRUE(scheduler.status().devices.at(0).healthy);
  }
  EXPECT_TRUE(ended.get().ok());
}

TEST(SchedulerFaults, ACallEndsWithinAStepWhenNobodyWaits) {
  Gate gate;
  const auto model = std::make_shared<ScriptedModel>(
      [&](std::span<const DetectRequest>, const DetectOptions& options) {
        gate.pass();
        run_steps(options, 3000, milliseconds(10));
      });
  gate.open();
  Scheduler scheduler(registry_of(model));
  std::stop_source client;
  Task left = make_task("coat");
  left.stop = client.get_token();
  auto cancelled = submit(scheduler, std::move(left));
  gate.wait_arrived(1);
  client.request_stop();
  EXPECT_EQ(cancelled.get().code(), ErrorCode::kCancelled);
  Task late = make_task("coat");
  late.deadline = Clock::now() + milliseconds(100);
  const auto begun = Clock::now();
  EXPECT_EQ(submit(scheduler, std::move(late)).get().code(), ErrorCode::kDeadlineExceeded);
  EXPECT_LT(Clock::now() - begun, seconds(5));
}

TEST_F(FaultsTest, ACallGoesOnWhileOneOfItsWorksIsWaitedFor) {
  start([](std::span<const DetectRequest>, const DetectOptions& options) {
    run_steps(options, 20, milliseconds(10));
  });
  auto blocker = submit(*scheduler_, make_task("blocker"));
  gate_.wait_arrived();
  std::stop_source client;
  Task left = make_task("left");
  left.stop = client.get_token();
  auto cancelled = submit(*scheduler_, std::move(left));
  auto waited_for = submit(*scheduler_, make_task("coat"));
  gate_.open();
  while (model_->sizes().size() < 2) std::this_thread::yield();
  client.request_stop();
  EXPECT_TRUE(waited_for.get().ok());
  EXPECT_EQ(sizes(), std::vector<std::size_t>{2});
}

TEST(SchedulerFaults, TooManyPassesAreRefusedBeforeTheyWait) {
  const auto model = std::make_shared<ScriptedModel>();
  model->on_count_passes = [](std::span<const Item>) -> int {
    throw Error(ErrorCode::kInvalidArgument, "items: they take 11 passes of the model");
  };
  Scheduler scheduler(registry_of(model));
  expect_error(ErrorCode::kInvalidArgument, "11 passes",
               [&] { submit(scheduler, make_task("coat")); });
  EXPECT_TRUE(model->batches().empty());
}

TEST(SchedulerFaults, PixelsOutliveAClientThatLeaves) {
  Gate gate;
  std::atomic<int> sum = 0;
  const auto model = std::make_shared<ScriptedModel>(
      [&](std::span<const DetectRequest> requests, const DetectOptions&) {
        gate.pass();
        for (int i = 0; i < 48; ++i) sum += requests[0].image.pixels[i];
      });
  Scheduler scheduler(registry_of(model));
  std::future<Ended> ended;
  {
    auto pixels = std::make_shared<std::vector<std::uint8_t>>(48, std::uint8_t{2});
    std::stop_source client;
    Task task = make_task("coat");
    task.request.image.pixels = pixels->data();
    task.keep_alive = pixels;
    task.stop = client.get_token();
    ended = submit(scheduler, std::move(task));
    gate.wait_arrived();
    client.request_stop();  // too late: it is running
  }
  gate.open();
  EXPECT_TRUE(ended.get().ok());
  EXPECT_EQ(sum, 96);
}

}  // namespace
}  // namespace itemcrop::scheduler
