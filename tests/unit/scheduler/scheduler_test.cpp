#include "scheduler/scheduler.h"

#include <atomic>
#include <deque>
#include <random>
#include <thread>

#include <gtest/gtest.h>

#include "scripted_model.h"
#include "support/expect_error.h"

namespace itemcrop::scheduler {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using namespace test;

Clock::time_point in(milliseconds time) { return Clock::now() + time; }

/// One device whose first call waits at a gate, so that a queue builds up behind it.
class SchedulerTest : public ::testing::Test {
 protected:
  void start(SchedulerOptions options = {}, std::vector<DetectOptions> placements = {on_cpu()}) {
    scheduler_ = std::make_unique<Scheduler>(registry_of(model_, std::move(placements)), options);
  }
  /// Occupies the device.
  void block() {
    blocker_ = submit(*scheduler_, make_task("blocker"));
    gate_.wait_arrived();
  }
  ~SchedulerTest() override { gate_.open(); }

  Gate gate_;
  std::shared_ptr<ScriptedModel> model_ = std::make_shared<ScriptedModel>(
      [this](std::span<const DetectRequest> requests, const DetectOptions&) {
        if (requests.front().items[0].prompt == "blocker") gate_.pass();
      });
  std::unique_ptr<Scheduler> scheduler_;
  std::future<Ended> blocker_;
};

RejectReason reject_reason_of(Scheduler& scheduler, Task task) {
  try {
    scheduler.submit(std::move(task), [](std::exception_ptr, Outcome) { FAIL(); });
  } catch (const RejectedError& rejected) {
    EXPECT_GE(rejected.retry_after_seconds(), 1);
    EXPECT_LE(rejected.retry_after_seconds(), 60);
    return rejected.reason();
  }
  ADD_FAILURE() << "not refused";
  return RejectReason::kCancelled;
}

TEST_F(SchedulerTest, AnswersWithTheModelAndTheDevice) {
  start();
  Task task = make_task("coat");
  task.request.items.push_back({.prompt = "no hat"});
  const Ended ended = submit(*scheduler_, task).get();
  ASSERT_TRUE(ended.ok());
  ASSERT_EQ(ended.outcome.result.detections.size(), 1U);
  EXPECT_EQ(ended.outcome.result.detections[0].item, "coat");
  EXPECT_EQ(ended.outcome.result.not_found, std::vector<std::string>{"no hat"});
  EXPECT_EQ(ended.outcome.model, "main");
  EXPECT_EQ(ended.outcome.generation, 1U);
  EXPECT_EQ(ended.outcome.device, (DeviceId{Device::kCpu, 0}));
  EXPECT_EQ(ended.outcome.device_name, "scripted 0");
  EXPECT_EQ(ended.outcome.batch_images, 1U);
  EXPECT_GE(ended.outcome.queue_ms, 0);
  EXPECT_GT(ended.outcome.batch_ms, 0);
}

TEST_F(SchedulerTest, FormsBatchesFromWhatWaits) {
  start({.max_batch_images = 4});
  block();
  std::vector<std::future<Ended>> futures;
  for (int i = 0; i < 10; ++i) futures.push_back(submit(*scheduler_, make_task("coat")));
  EXPECT_EQ(scheduler_->status().queued_interactive, 10U);
  EXPECT_EQ(scheduler_->status().running, 1U);
  EXPECT_EQ(scheduler_->status().held_bytes, 11U * 48);
  gate_.open();
  for (auto& future : futures) EXPECT_TRUE(future.get().ok());
  EXPECT_EQ(model_->sizes(), (std::vector<std::size_t>{1, 4, 4, 2}));
  EXPECT_TRUE(scheduler_->drain(in(seconds(20))));
  EXPECT_EQ(scheduler_->status().devices.at(0).images, 11U);
  EXPECT_EQ(scheduler_->status().devices.at(0).batches, 4U);
}

TEST_F(SchedulerTest, WaitsAWindowForCompany) {
  start({.max_batch_images = 3, .window = milliseconds(300)});
  const auto begun = Clock::now();
  auto one = submit(*scheduler_, make_task("a"));
  auto two = submit(*scheduler_, make_task("b"));
  EXPECT_EQ(one.get().outcome.batch_images, 2U);
  EXPECT_EQ(two.get().outcome.batch_images, 2U);
  EXPECT_GE(Clock::now() - begun, milliseconds(290));
  // A full batch does not wait.
  const auto again = Clock::now();
  std::vector<std::future<Ended>> full;
  for (int i = 0; i < 3; ++i) full.push_back(submit(*scheduler_, make_task("c")));
  for (auto& future : full) EXPECT_EQ(future.get().outcome.batch_images, 3U);
  EXPECT_LT(Clock::now() - again, milliseconds(250));
}

TEST_F(SchedulerTest, KeepsABatchWithinItsMemory) {
  start({.max_batch_images = 8, .max_batch_bytes = 48});  // three images of 4 x 4
  block();
  std::vector<std::future<Ended>> futures;
  for (int i = 0; i < 7; ++i) futures.push_back(submit(*scheduler_, make_task("coat")));
  gate_.open();
  for (auto& future : futures) EXPECT_TRUE(future.get().ok());
  EXPECT_EQ(model_->sizes(), (std::vector<std::size_t>{1, 3, 3, 1}));
  EXPECT_EQ(model_->estimates(), 2) << "one a shape";
  expect_error(ErrorCode::kInvalidArgument, "is refused",
               [&] { submit(*scheduler_, make_task("refused")); });
}

TEST_F(SchedulerTest, RefusesAtOnceWhenTooManyWait) {
  start({.max_queued = 4, .job_share = 0.5});
  block();
  std::vector<std::future<Ended>> futures;
  for (int i = 0; i < 2; ++i) {
    futures.push_back(submit(*scheduler_, make_task("job", Priority::kJob)));
  }
  EXPECT_EQ(reject_reason_of(*scheduler_, make_task("job", Priority::kJob)),
            RejectReason::kQueueFull)
      << "jobs fill half of the queue at most";
  for (int i = 0; i < 2; ++i) futures.push_back(submit(*scheduler_, make_task("coat")));
  expect_error(ErrorCode::kOverloaded, "max_queued 4",
               [&] { submit(*scheduler_, make_task("coat")); });
  EXPECT_EQ(reject_reason_of(*scheduler_, make_task("coat")), RejectReason::kQueueFull);
  gate_.open();
  for (auto& future : futures) EXPECT_TRUE(future.get().ok());
  EXPECT_TRUE(submit(*scheduler_, make_task("coat")).get().ok());
}

TEST_F(SchedulerTest, WorksThatNobodyWaitsForMakeRoom) {
  start({.max_queued = 2});
  block();
  std::stop_source client;
  Task leaving = make_task("leaving");
  leaving.stop = client.get_token();
  auto first = submit(*scheduler_, leaving);
  auto second = submit(*scheduler_, leaving);
  client.request_stop();
  auto third = submit(*scheduler_, make_task("coat"));
  EXPECT_EQ(first.get().code(), ErrorCode::kCancelled);
  EXPECT_EQ(second.get().code(), ErrorCode::kCancelled);
  gate_.open();
  EXPECT_TRUE(third.get().ok());
}

TEST_F(SchedulerTest, BoundsTheBytesOfImages) {
  start({.max_queued_bytes = 100});  // two images of 48 bytes
  block();
  auto one = submit(*scheduler_, make_task("coat"));
  expect_error(ErrorCode::kOverloaded, "max_queued_bytes 100",
               [&] { submit(*scheduler_, make_task("coat")); });
  gate_.open();
  EXPECT_TRUE(one.get().ok());
  ASSERT_TRUE(blocker_.get().ok());
  const std::vector<std::uint8_t> pixels(300);
  Task large = make_task("large");
  large.request.image = {pixels.data(), 10, 10, 0};
  for (;;) {  // its place is free a moment after its answer
    try {
      EXPECT_TRUE(submit(*scheduler_, large).get().ok()) << "alone it is taken";
      break;
    } catch (const RejectedError& rejected) {
      ASSERT_EQ(rejected.reason(), RejectReason::kBytesFull);
      std::this_thread::sleep_for(milliseconds(1));
    }
  }
}

TEST_F(SchedulerTest, DropsExpiredAndCancelledWorkWithoutRunningIt) {
  start();
  block();
  std::stop_source client;
  Task leaving = make_task("leaving");
  leaving.stop = client.get_token();
  Task late = make_task("late");
  late.deadline = in(milliseconds(200));
  auto left = submit(*scheduler_, leaving);
  auto expired = submit(*scheduler_, late);
  client.request_stop();
  // Both are answered while the device is still busy.
  EXPECT_EQ(left.get().code(), ErrorCode::kCancelled);
  EXPECT_EQ(expired.get().code(), ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(scheduler_->status().queued_interactive, 0U);
  gate_.open();
  EXPECT_TRUE(scheduler_->drain(in(seconds(20))));
  EXPECT_EQ(model_->sizes().size(), 1U);
}

TEST_F(SchedulerTest, RefusesWhatIsAlreadyOver) {
  start();
  Task late = make_task("late");
  late.deadline = Clock::now();
  expect_error(ErrorCode::kDeadlineExceeded, "deadline", [&] { submit(*scheduler_, late); });
  std::stop_source client;
  client.request_stop();
  Task leaving = make_task("leaving");
  leaving.stop = client.get_token();
  expect_error(ErrorCode::kCancelled, "cancelled", [&] { submit(*scheduler_, leaving); });
  Task unknown = make_task("coat");
  unknown.model = "other";
  expect_error(ErrorCode::kNotFound, "\"other\"", [&] { submit(*scheduler_, unknown); });
  Task empty = make_task("coat");
  empty.request.image.pixels = nullptr;
  expect_error(ErrorCode::kInvalidArgument, "image", [&] { submit(*scheduler_, empty); });
}

TEST(Scheduler, RefusesWhileItsModelLoads) {
  Gate gate;
  ModelConfig config;
  config.name = "slow";
  config.loader = [&] {
    gate.pass();
    return std::make_shared<ScriptedModel>();
  };
  config.placements = {on_cpu()};
  auto registry = std::make_shared<ModelRegistry>(std::vector{config});
  Scheduler scheduler(registry);
  EXPECT_EQ(reject_reason_of(scheduler, make_task("coat")), RejectReason::kModelNotReady);
  gate.open();
  ASSERT_TRUE(registry->wait_loaded(seconds(20)));
  EXPECT_TRUE(submit(scheduler, make_task("coat")).get().ok());
}

TEST_F(SchedulerTest, RefusesWhatCannotMeetItsDeadline) {
  model_ = std::make_shared<ScriptedModel>(
      [this](std::span<const DetectRequest> requests, const DetectOptions&) {
        if (requests.front().items[0].prompt == "blocker") return gate_.pass();
        std::this_thread::sleep_for(milliseconds(50));
      });
  start();
  EXPECT_TRUE(submit(*scheduler_, make_task("first")).get().ok());  // now the time is known
  block();
  std::vector<std::future<Ended>> futures;
  for (int i = 0; i < 10; ++i) futures.push_back(submit(*scheduler_, make_task("coat")));
  EXPECT_GE(scheduler_->status().estimated_wait_seconds, 11 * 0.05);
  EXPECT_GE(scheduler_->retry_after_seconds(), 1);
  Task task = make_task("urgent");
  task.deadline = in(milliseconds(500));
  EXPECT_EQ(reject_reason_of(*scheduler_, task), RejectReason::kHopeless);
  task.deadline = in(milliseconds(500));
  expect_error(ErrorCode::kOverloaded, "the deadline is in", [&] { submit(*scheduler_, task); });
  task.deadline = in(seconds(100));
  futures.push_back(submit(*scheduler_, task));
  gate_.open();
  for (auto& future : futures) EXPECT_TRUE(future.get().ok());
}

TEST(Scheduler, ASingleSlowCallDoesNotCloseTheDoorForEver) {
  std::atomic<int> delay = 500;
  const auto model =
      std::make_shared<ScriptedModel>([&](std::span<const DetectRequest>, const DetectOptions&) {
        std::this_thread::sleep_for(milliseconds(delay));
      });
  Scheduler scheduler(registry_of(model));
  EXPECT_TRUE(submit(scheduler, make_task("cold")).get().ok());
  delay = 0;
  // The average says 500 ms, but with nothing ahead of it a task is let in and corrects it.
  for (int i = 0; i < 20; ++i) {
    Task task = make_task("coat");
    task.deadline = in(milliseconds(300));
    EXPECT_TRUE(submit(scheduler, task).get().ok());
  }
}

TEST(Scheduler, SpreadsWorkOverDevices) {
  Gate gate;
  const auto model =
      std::make_shared<ScriptedModel>([&](std::span<const DetectRequest>, const DetectOptions& on) {
        if (on.device_index == 0) gate.pass();
      });
  Scheduler scheduler(registry_of(model, {on_gpu(0), on_gpu(1)}),
                      {.max_batch_images = 1, .window = milliseconds(0)});
  std::vector<std::future<Ended>> futures;
  for (int i = 0; i < 50; ++i) futures.push_back(submit(scheduler, make_task("coat")));
  // Device 0 holds at most one of them up; the other device does the rest.
  while (model->calls(1) < 49) std::this_thread::yield();
  gate.open();
  for (auto& future : futures) EXPECT_TRUE(future.get().ok());
  EXPECT_LE(model->calls(0), 1);
}

TEST(Scheduler, RunsSeveralModelsOnTheirOwnDevices) {
  ModelConfig a;
  a.name = "a";
  a.loader = [] { return std::make_shared<ScriptedModel>(); };
  a.placements = {on_gpu(0)};
  ModelConfig b = a;
  b.name = "b";
  b.placements = {on_gpu(1), on_cpu()};
  auto registry = std::make_shared<ModelRegistry>(std::vector{a, b});
  ASSERT_TRUE(registry->wait_loaded(seconds(20)));
  Scheduler scheduler(registry);
  for (int i = 0; i < 20; ++i) {
    Task task = make_task("coat");
    task.model = i % 2 == 0 ? "a" : "b";
    const Ended ended = submit(scheduler, task).get();
    EXPECT_EQ(ended.outcome.model, task.model);
    EXPECT_EQ(ended.outcome.device == (DeviceId{Device::kCuda, 0}), task.model == "a");
  }
}

TEST_F(SchedulerTest, JobsAreNotStarvedBySteadyInteractiveWork) {
  start({.interactive_per_job = 4});
  block();
  std::vector<std::future<Ended>> jobs;
  for (int i = 0; i < 30; ++i) {
    jobs.push_back(submit(*scheduler_, make_task("job", Priority::kJob)));
  }
  std::atomic<bool> stop = false;
  std::atomic<bool> ready = false;
  std::thread clients([&] {  // ten interactive tasks wait or run at any time
    std::deque<std::future<Ended>> waiting;
    while (!stop) {
      while (waiting.size() < 10) waiting.push_back(submit(*scheduler_, make_task("interactive")));
      ready = true;
      EXPECT_TRUE(waiting.front().get().ok());
      waiting.pop_front();
    }
    for (auto& future : waiting) EXPECT_TRUE(future.get().ok());
  });
  while (!ready) std::this_thread::yield();
  gate_.open();
  for (auto& job : jobs) EXPECT_TRUE(job.get().ok());
  stop = true;
  clients.join();
  int since = 0;
  int seen = 0;
  for (const auto& batch : model_->batches()) {
    if (batch.front() == "job") {
      ++seen;
      since = 0;
    } else if (batch.front() == "interactive" && seen < 30) {
      EXPECT_LE(++since, 4) << "a job was passed over";
    }
  }
  EXPECT_EQ(seen, 30);
}

TEST_F(SchedulerTest, DrainFinishesWhatWaitsAndTakesNothingNew) {
  start({.window = seconds(10)});  // draining does not wait for the window
  block();
  auto waiting = submit(*scheduler_, make_task("coat"));
  std::thread opener([&] {
    while (!scheduler_->status().draining) std::this_thread::yield();
    EXPECT_EQ(reject_reason_of(*scheduler_, make_task("late")), RejectReason::kDraining);
    gate_.open();
  });
  EXPECT_TRUE(scheduler_->drain(in(seconds(20))));
  EXPECT_EQ(waiting.wait_for(seconds(0)), std::future_status::ready);
  EXPECT_TRUE(waiting.get().ok());
  opener.join();
}

TEST_F(SchedulerTest, DrainGivesUpAtItsDeadline) {
  start();
  block();
  auto waiting = submit(*scheduler_, make_task("coat"));
  EXPECT_FALSE(scheduler_->drain(in(milliseconds(20))));
  EXPECT_EQ(waiting.get().code(), ErrorCode::kUnavailable);
  gate_.open();
  scheduler_.reset();
  EXPECT_TRUE(blocker_.get().ok()) << "a call in hand is finished";
}

TEST(Scheduler, ReloadUnderLoadDropsNothing) {
  ModelConfig config;
  config.name = "main";
  config.loader = [] {
    return std::make_shared<ScriptedModel>(
        [](std::span<const DetectRequest>, const DetectOptions&) {
          std::this_thread::sleep_for(std::chrono::microseconds(200));
        });
  };
  config.placements = {on_cpu()};
  auto registry = std::make_shared<ModelRegistry>(std::vector{config});
  ASSERT_TRUE(registry->wait_loaded(seconds(20)));
  auto scheduler = std::make_unique<Scheduler>(registry);
  std::atomic<bool> stop = false;
  std::atomic<int> answered = 0;
  std::atomic<std::uint64_t> newest = 0;
  std::vector<std::thread> clients;
  for (int c = 0; c < 3; ++c) {
    clients.emplace_back([&] {
      while (!stop) {
        const Ended ended = submit(*scheduler, make_task("coat")).get();
        EXPECT_TRUE(ended.ok());
        newest = ended.outcome.generation;
        ++answered;
      }
    });
  }
  std::vector<std::weak_ptr<const ServedModel>> copies;
  for (int i = 0; i < 10; ++i) {
    const int before = answered;
    while (answered <= before + 1) std::this_thread::yield();
    copies.push_back(registry->get());
    std::promise<void> loaded;
    registry->reload("main", [&](std::exception_ptr error) {
      EXPECT_EQ(error, nullptr);
      loaded.set_value();
    });
    loaded.get_future().wait();
  }
  while (newest < 11) std::this_thread::yield();
  stop = true;
  for (auto& client : clients) client.join();
  EXPECT_TRUE(scheduler->drain(in(seconds(20))));
  EXPECT_GT(answered, 10);
  scheduler.reset();
  for (const auto& copy : copies) EXPECT_TRUE(copy.expired()) << "an old copy is kept";
}

TEST(Scheduler, RefusesOptionsOutOfRange) {
  const auto registry = registry_of(std::make_shared<ScriptedModel>());
  const auto invalid = [&](std::string_view part, const SchedulerOptions& options) {
    expect_error(ErrorCode::kInvalidArgument, part, [&] { Scheduler(registry, options); });
  };
  invalid("max_queued", {.max_queued = 0});
  invalid("max_queued_bytes", {.max_queued_bytes = 0});
  invalid("job_share", {.job_share = 0});
  invalid("job_share", {.job_share = 1.5});
  invalid("interactive_per_job", {.interactive_per_job = 0});
  invalid("deadline_use", {.deadline_use = 0});
  invalid("stuck_after", {.stuck_after = milliseconds(0)});
  expect_error(ErrorCode::kInvalidArgument, "registry", [] { Scheduler{nullptr}; });
}

/// Counts what it hears.
class Counting : public SchedulerEvents {
 public:
  void on_queue(std::size_t tasks, std::size_t bytes) override {
    last_tasks = tasks;
    last_bytes = bytes;
  }
  void on_wait(Priority, double time) override {
    EXPECT_GE(time, 0);
    ++waits;
  }
  void on_batch(const DeviceId&, std::size_t images, double time) override {
    EXPECT_GE(time, 0);
    batch_images += images;
  }
  void on_rejected(RejectReason) override { ++refused; }

  std::atomic<std::size_t> last_tasks = 0, last_bytes = 0, waits = 0, batch_images = 0, refused = 0;
};

/// Every task that was taken is answered once, whatever happens around it.
TEST(Scheduler, AnswersExactlyOnceUnderRandomCancellation) {
  constexpr int kThreads = 6;
  constexpr int kTasks = 400;
  std::atomic<unsigned> calls = 0;
  const auto model =
      std::make_shared<ScriptedModel>([&](std::span<const DetectRequest>, const DetectOptions&) {
        const unsigned call = ++calls;
        std::this_thread::sleep_for(std::chrono::microseconds(call % 7 * 50));
        if (call % 11 == 0) throw Error(ErrorCode::kOutOfMemory, "now and then");
        if (call % 13 == 0) throw std::runtime_error("now and then");
      });
  const auto events = std::make_shared<Counting>();
  std::vector<std::atomic<int>> answers(kThreads * kTasks);
  std::vector<std::atomic<bool>> taken(kThreads * kTasks);
  std::atomic<int> good = 0;
  std::size_t refused = 0;
  {
    Scheduler scheduler(
        registry_of(model, {on_gpu(0), on_gpu(1)}),
        {.max_queued = 64, .max_batch_images = 5, .window = std::chrono::microseconds(300)},
        events);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937 random(static_cast<unsigned>(t));
        std::deque<std::stop_source> clients;
        for (int i = 0; i < kTasks; ++i) {
          const auto id = static_cast<std::size_t>(t * kTasks + i);
          auto pixels = std::make_shared<std::vector<std::uint8_t>>(48);
          Task task =
              make_task("coat", random() % 3 == 0 ? Priority::kJob : Priority::kInteractive);
          task.request.image.pixels = pixels->data();
          task.keep_alive = pixels;
          task.stop = clients.emplace_back().get_token();
          if (random() % 3 == 0) {
            task.deadline = Clock::now() + std::chrono::microseconds(random() % 5000 + 1);
          }
          try {
            scheduler.submit(std::move(task), [&, id](std::exception_ptr error, Outcome outcome) {
              ++answers[id];
              if (error == nullptr && outcome.result.detections.size() == 1) ++good;
              if (id % 50 == 0) throw std::runtime_error("a careless caller");
            });
            taken[id] = true;
          } catch (const Error&) {
          }
          if (random() % 2 == 0) clients[random() % clients.size()].request_stop();
          if (random() % 4 == 0) std::this_thread::sleep_for(std::chrono::microseconds(100));
        }
        // The token sources go away with tasks still waiting.
      });
    }
    for (std::thread& thread : threads) thread.join();
    scheduler.drain(in(milliseconds(1)));
    for (std::size_t id = 0; id < answers.size(); ++id) {
      if (!taken[id]) ++refused;
    }
  }
  for (std::size_t id = 0; id < answers.size(); ++id) {
    EXPECT_EQ(answers[id], taken[id] ? 1 : 0) << id;
  }
  EXPECT_GT(good, 0);
  EXPECT_GE(events->refused, refused);
  EXPECT_EQ(events->last_tasks, 0U);
  EXPECT_EQ(events->last_bytes, 0U);
  EXPECT_GT(events->waits, 0U);
  EXPECT_GT(events->batch_images, 0U);
}

}  // namespace
}  // namespace itemcrop::scheduler
