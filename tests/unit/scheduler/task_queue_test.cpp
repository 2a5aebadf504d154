#include "scheduler/task_queue.h"

#include <gtest/gtest.h>

#include "scripted_model.h"

namespace itemcrop::scheduler {
namespace {

const DeviceId kGpu0{Device::kCuda, 0};
const DeviceId kGpu1{Device::kCuda, 1};

std::shared_ptr<const ServedModel> served_on(std::vector<DeviceId> devices) {
  auto served = std::make_shared<ServedModel>();
  for (const DeviceId& device : devices) served->replicas.push_back({device, {}, {}, {}, 0});
  return served;
}

class WorkQueueTest : public ::testing::Test {
 protected:
  void push(const std::shared_ptr<const ServedModel>& served, const std::string& name,
            Priority priority = Priority::kInteractive, std::size_t workspace = 0) {
    auto pending = std::make_shared<Pending>();
    pending->task = test::make_task(name, priority);
    pending->served = served;
    pending->sequence = next_++;
    pending->arrived = Clock::now();
    pending->workspace_bytes = workspace;
    queue_.push(std::move(pending));
  }
  void push_for(const std::string& caller, const std::string& name, std::uint64_t passes = 1) {
    auto pending = std::make_shared<Pending>();
    pending->task = test::make_task(name);
    pending->task.caller = caller;
    pending->served = a_;
    pending->sequence = next_++;
    pending->passes = passes;
    queue_.push(std::move(pending));
  }
  std::string take(const DeviceId& device, BatchLimits limits, Interleaving& interleaving) {
    std::string names;
    for (const PendingPtr& pending : queue_.take(device, limits, interleaving)) {
      names += (names.empty() ? "" : " ") + pending->task.request.items[0].prompt;
    }
    return names;
  }
  std::string take(BatchLimits limits) { return take(kGpu0, limits, interleaving_); }

  TaskQueue queue_{2};
  Interleaving interleaving_;
  std::uint64_t next_ = 0;
  std::shared_ptr<const ServedModel> a_ = served_on({kGpu0, kGpu1});
  std::shared_ptr<const ServedModel> b_ = served_on({kGpu0});
};

TEST_F(WorkQueueTest, TakesTheOldestAndWhateverSharesItsModel) {
  push(a_, "a0");
  push(b_, "b0");
  push(a_, "a1");
  push(b_, "b1");
  EXPECT_EQ(take({.max_images = 8}), "a0 a1");
  EXPECT_EQ(take({.max_images = 1}), "b0");
  EXPECT_EQ(take({.max_images = 8}), "b1");
  EXPECT_EQ(take({.max_images = 8}), "");
  EXPECT_TRUE(queue_.empty());
}

TEST_F(WorkQueueTest, CallersTakeTurnsHoweverManyWorksTheyHave) {
  for (int i = 0; i < 5; ++i) push_for("many", "m" + std::to_string(i));
  push_for("one", "o0");
  push_for("two", "t0");
  push_for("two", "t1");
  EXPECT_EQ(take({.max_images = 8}), "m0 o0 t0 m1 t1 m2 m3 m4");
}

TEST_F(WorkQueueTest, ShortWorkGoesBeforeAnothersLongWork) {
  for (int i = 0; i < 3; ++i) push_for("long", "l" + std::to_string(i), 4);
  EXPECT_EQ(take({.max_images = 1}), "l0");
  push_for("short", "s0");
  push_for("short", "s1");
  EXPECT_EQ(take({.max_images = 8}), "s0 s1 l1 l2");
}

TEST_F(WorkQueueTest, ACallerThatWasIdleHasNoTurnsSaved) {
  for (int i = 0; i < 3; ++i) push_for("a", "a" + std::to_string(i));
  EXPECT_EQ(take({.max_images = 2}), "a0 a1");
  for (int i = 0; i < 3; ++i) push_for("b", "b" + std::to_string(i));
  EXPECT_EQ(take({.max_images = 8}), "b0 a2 b1 b2");
}

TEST_F(WorkQueueTest, ADeviceTakesOnlyWhatItServes) {
  push(b_, "b0");
  push(a_, "a0");
  EXPECT_FALSE(queue_.preview({Device::kCpu, 0}, interleaving_).has_value());
  EXPECT_EQ(take(kGpu1, {.max_images = 8}, interleaving_), "a0");
  EXPECT_EQ(take(kGpu1, {.max_images = 8}, interleaving_), "");
  EXPECT_EQ(take({.max_images = 8}), "b0");
}

TEST_F(WorkQueueTest, InteractiveWorkGoesFirstAndJobsGetTheirShare) {
  for (int i = 0; i < 4; ++i) push(a_, "j" + std::to_string(i), Priority::kJob);
  for (int i = 0; i < 5; ++i) push(a_, "i" + std::to_string(i));
  std::string order;
  while (!queue_.empty()) order += take({.max_images = 1}) + " ";
  EXPECT_EQ(order, "i0 i1 j0 i2 i3 j1 i4 j2 j3 ") << "one in every three";
}

TEST_F(WorkQueueTest, AJobOfAnotherModelGetsItsShareToo) {
  push(b_, "j0", Priority::kJob);
  for (int i = 0; i < 6; ++i) push(a_, "i" + std::to_string(i));
  EXPECT_EQ(take({.max_images = 3}), "i0 i1 i2");
  EXPECT_EQ(take({.max_images = 3}), "j0");
  EXPECT_EQ(take({.max_images = 3}), "i3 i4 i5");
}

TEST_F(WorkQueueTest, JobsDoNotFillTheRestOfAnInteractiveBatch) {
  push(a_, "j0", Priority::kJob);
  push(a_, "j1", Priority::kJob);
  push(a_, "i0");
  EXPECT_EQ(queue_.preview(kGpu0, interleaving_)->tasks, 1U);
  EXPECT_EQ(take({.max_images = 8}), "i0");
  EXPECT_EQ(queue_.preview(kGpu0, interleaving_)->tasks, 2U);
  EXPECT_EQ(take({.max_images = 8}), "j0 j1");
}

TEST_F(WorkQueueTest, StaysWithinTheMemoryOfABatch) {
  push(a_, "a0", Priority::kInteractive, 60);
  push(a_, "a1", Priority::kInteractive, 40);
  push(a_, "a2", Priority::kInteractive, 1);
  push(a_, "huge", Priority::kInteractive, 1000);
  push(a_, "a3", Priority::kInteractive, 1);
  EXPECT_EQ(take({.max_images = 8, .max_bytes = 100}), "a0 a1");
  EXPECT_EQ(take({.max_images = 8, .max_bytes = 100}), "a2");
  EXPECT_EQ(take({.max_images = 8, .max_bytes = 100}), "huge") << "alone, but it runs";
  EXPECT_EQ(take({.max_images = 8, .max_bytes = 100}), "a3");
}

TEST_F(WorkQueueTest, LetsGoOfAModelWithItsLastWork) {
  push(a_, "a0");
  push(a_, "a1");
  const std::weak_ptr<const ServedModel> watch = a_;
  a_.reset();
  EXPECT_EQ(queue_.remove_if([](const Pending& pending) { return pending.sequence == 0; }).size(),
            1U);
  EXPECT_FALSE(watch.expired());
  EXPECT_EQ(take({.max_images = 8}), "a1");
  EXPECT_TRUE(watch.expired());
}

}  // namespace
}  // namespace itemcrop::scheduler
