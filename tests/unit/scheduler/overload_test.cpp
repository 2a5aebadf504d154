#include <algorithm>
#include <atomic>
#include <cstdio>
#include <future>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "scheduler/scheduler.h"
#include "scripted_model.h"

namespace itemcrop::scheduler {
namespace {

using std::chrono::milliseconds;
using test::make_task;
using test::registry_of;
using test::ScriptedModel;

constexpr milliseconds kService{5};
constexpr milliseconds kDeadline{400};
#ifdef ITEMCROP_SANITIZED
constexpr double kLeastGoodput = 0.5;  // checking every access takes its share of the time
#else
constexpr double kLeastGoodput = 0.9;
#endif

double seconds_of(Clock::duration time) { return std::chrono::duration<double>(time).count(); }

/// Sums up what the device does. A busy machine makes sleeps longer, so the peak is what the device
/// could have done with calls as long as they were.
class Meter : public SchedulerEvents {
 public:
  void on_batch(const DeviceId&, std::size_t images, double time) override {
    images_ += static_cast<int>(images);
    busy_us_ += static_cast<long long>(time * 1e6);
  }
  void reset() { images_ = 0, busy_us_ = 0; }
  double peak() const { return images_ / (static_cast<double>(busy_us_) / 1e6); }
  int images() const { return images_; }

 private:
  std::atomic<int> images_ = 0;
  std::atomic<long long> busy_us_ = 0;
};

struct Load {
  double goodput = 0;  ///< answers within their deadline, a second
  int good = 0;
  int late = 0;  ///< taken and then not answered in time
  std::vector<double> reject_ms;
};

/// Offers tasks at a steady rate for `time`, without waiting for answers.
Load offer(Scheduler& scheduler, double per_second, milliseconds time) {
  Load load;
  std::atomic<int> good = 0;
  std::atomic<int> late = 0;
  const auto begun = Clock::now();
  int offered = 0;
  while (Clock::now() - begun < time) {
    const double due = seconds_of(Clock::now() - begun) * per_second;
    for (; offered < due; ++offered) {
      Task task = make_task("coat");
      const auto asked = Clock::now();
      const auto deadline = asked + kDeadline;
      task.deadline = deadline;
      try {
        scheduler.submit(std::move(task), [&, deadline](std::exception_ptr error, Outcome) {
          ++(error == nullptr && Clock::now() <= deadline ? good : late);
        });
      } catch (const RejectedError&) {
        load.reject_ms.push_back(1000 * seconds_of(Clock::now() - asked));
      }
    }
    std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
  while (scheduler.status().queued_interactive + scheduler.status().running != 0) {
    std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
  load.good = good;
  load.late = late;
  load.goodput = good / seconds_of(Clock::now() - begun);
  std::ranges::sort(load.reject_ms);
  return load;
}

/// threats.md: at 2x and 10x capacity goodput stays at 90% of the peak and refusals come at once.
TEST(Overload, GoodputHoldsAndRefusalsComeAtOnce) {
  const auto model =
      std::make_shared<ScriptedModel>([](std::span<const DetectRequest>, const DetectOptions&) {
        std::this_thread::sleep_for(kService);
      });
  const auto meter = std::make_shared<Meter>();
  Scheduler scheduler(registry_of(model), {.max_queued = 1000}, meter);
  for (const double times : {1.0, 2.0, 10.0}) {
    meter->reset();
    const Load load = offer(scheduler, times * 1000 / kService.count(), milliseconds(450));
    const double peak = meter->peak();
    const double slow =
        load.reject_ms.empty() ? 0 : load.reject_ms[load.reject_ms.size() * 99 / 100];
    std::printf(
        "%4.0f x: goodput %5.1f/s of a peak of %5.1f/s, %zu refused (99%% in %.2f ms), "
        "%d late\n",
        times, load.goodput, peak, load.reject_ms.size(), slow, load.late);
    EXPECT_GE(load.good, 0.9 * meter->images()) << "time spent on answers nobody could use";
    EXPECT_LT(slow, 50);
    if (times == 1) continue;
    EXPECT_GE(load.goodput, kLeastGoodput * peak);
    EXPECT_GT(load.reject_ms.size(), 0U);
  }

  // Recovery: the next request is answered as if nothing had been.
  std::promise<bool> answer;
  Task task = make_task("coat");
  task.deadline = Clock::now() + kDeadline;
  scheduler.submit(std::move(task),
                   [&](std::exception_ptr error, Outcome) { answer.set_value(error == nullptr); });
  EXPECT_TRUE(answer.get_future().get());
}

}  // namespace
}  // namespace itemcrop::scheduler
