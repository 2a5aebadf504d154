#include "jobs/job_runner.h"

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include <gtest/gtest.h>

#include "job_fixture.h"
#include "support/expect_error.h"

namespace itemcrop::jobs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using namespace test;
using Clock = std::chrono::steady_clock;

class JobRunnerTest : public ::testing::Test {
 protected:
  void start(Processor processor, JobRunnerOptions options = {}) {
    if (store_ == nullptr) store_ = std::make_shared<JobStore>(files_.options());
    if (options.first_backoff == JobRunnerOptions{}.first_backoff) {
      options.first_backoff = milliseconds(2);
      options.max_backoff = milliseconds(20);
    }
    runner_ = std::make_unique<JobRunner>(store_, std::move(processor), options);
  }
  /// Waits, woken by the store, until the job is finished.
  JobInfo wait(const std::string& id) {
    std::mutex mutex;
    std::condition_variable changed;
    bool news = true;
    const Subscription subscription = store_->subscribe(id, [&] {
      const std::lock_guard lock(mutex);
      news = true;
      changed.notify_all();
    });
    for (;;) {
      JobInfo info = *store_->find(id);
      if (info.finished_for_good()) return info;
      std::unique_lock lock(mutex);
      EXPECT_TRUE(changed.wait_for(lock, seconds(20), [&] { return news; })) << "nobody told";
      if (!news) return info;
      news = false;
    }
  }

  test::JobFixture files_;
  std::shared_ptr<JobStore> store_;
  std::unique_ptr<JobRunner> runner_;
};

TEST_F(JobRunnerTest, RunsEveryImageOnce) {
  std::mutex mutex;
  std::map<std::string, int> seen;
  std::atomic<int> at_once = 0;
  std::atomic<int> most = 0;
  start(
      [&](const JobImage& image, std::stop_token, const Completion& done) {
        const int now = ++at_once;
        int high = most;
        while (now > high && !most.compare_exchange_weak(high, now)) {
        }
        {
          const std::lock_guard lock(mutex);
          ++seen[image.source];
        }
        std::this_thread::sleep_for(milliseconds(1));
        --at_once;
        done("result of " + image.source, image.position % 5 == 0);
      },
      {.concurrency = 3});
  const std::string a = store_->create(job_of("a", 40, 100)).id;
  const std::string b = store_->create(job_of("b", 7)).id;
  EXPECT_EQ(wait(a).failed, 8);
  EXPECT_EQ(wait(b).done, 5);
  EXPECT_EQ(seen.size(), 47U);
  for (const auto& [source, times] : seen) EXPECT_EQ(times, 1) << source;
  EXPECT_GT(most, 1);
  EXPECT_LE(most, 3);
  for (const ImageResult& image : store_->results(a, 0, 1000).images) {
    EXPECT_EQ(image.result, "result of a source " + std::to_string(image.position));
  }
  EXPECT_TRUE(runner_->drain(Clock::now() + seconds(20)));
  EXPECT_EQ(runner_->running(), 0U);
}

TEST_F(JobRunnerTest, AnswersMayComeLaterFromAnotherThread) {
  std::vector<std::thread> threads;
  std::mutex mutex;
  start([&](const JobImage& image, std::stop_token, const Completion& done) {
    const std::lock_guard lock(mutex);
    threads.emplace_back([done, source = image.source] {
      std::this_thread::sleep_for(milliseconds(2));
      done(source, false);
      done("a second answer", true);
    });
  });
  const std::string id = store_->create(job_of("a", 10)).id;
  EXPECT_EQ(wait(id).done, 10);
  runner_.reset();
  for (std::thread& thread : threads) thread.join();
}

TEST_F(JobRunnerTest, WaitsWhereThereIsNoRoomAsOftenAsItTakes) {
  std::atomic<int> calls = 0;
  start(
      [&](const JobImage& image, std::stop_token, const Completion& done) {
        EXPECT_EQ(image.attempt, 1) << "being busy is not the image's fault";
        const int call = ++calls;
        if (call % 4 == 1) throw Error(ErrorCode::kOverloaded, "full");
        if (call % 4 != 0) return done.busy(milliseconds(1));
        done("fine", false);
      },
      {.concurrency = 2, .max_attempts = 1});
  const std::string id = store_->create(job_of("a", 8)).id;
  EXPECT_EQ(wait(id).done, 8);
  EXPECT_GE(calls, 32);
}

TEST_F(JobRunnerTest, TriesWhatMayGoAwayWithinABudget) {
  start(
      [&](const JobImage& image, std::stop_token, const Completion& done) {
        switch (image.position) {
          case 0:  // works the second time
            if (image.attempt == 1) return done.fault("not now");
            return done("fine", false);
          case 1:
            return done.fault("no answer, try " + std::to_string(image.attempt));
          case 2:
            throw Error(ErrorCode::kUnavailable,
                        "the host is down, try " + std::to_string(image.attempt));
          case 3:
            throw Error(ErrorCode::kCorruptImage, "try " + std::to_string(image.attempt));
          case 4:
            throw std::runtime_error("odd");
          default:
            return;  // forgets to answer
        }
      },
      {.concurrency = 3, .max_attempts = 3});
  const std::string id = store_->create(job_of("a", 6)).id;
  EXPECT_EQ(wait(id).failed, 5);
  const auto images = store_->results(id, 0, 10).images;
  EXPECT_EQ(images[0].result, "fine");
  EXPECT_EQ(images[1].result, "no answer, try 3");
  EXPECT_EQ(images[2].result,
            R"({"id":"id 2","error":{"code":"unavailable","message":"the host is down, try 3"}})");
  EXPECT_EQ(images[3].result,
            R"({"id":"id 3","error":{"code":"corrupt_image","message":"try 1"}})");
  EXPECT_EQ(images[4].result, R"({"id":"id 4","error":{"code":"internal","message":"odd"}})");
  EXPECT_NE(images[5].result.find("without an answer"), std::string::npos);
}

TEST_F(JobRunnerTest, CancellingStopsWhatIsInHand) {
  std::atomic<int> begun = 0;
  std::atomic<int> stopped = 0;
  start(
      [&](const JobImage&, const std::stop_token& stop, const Completion& done) {
        ++begun;
        std::mutex mutex;
        std::condition_variable_any changed;
        std::unique_lock lock(mutex);
        if (!changed.wait_for(lock, stop, seconds(20), [] { return false; }) &&
            stop.stop_requested()) {
          ++stopped;
        }
        done("late", false);
      },
      {.concurrency = 2});
  const std::string id = store_->create(job_of("a", 20)).id;
  while (begun < 2) std::this_thread::yield();
  EXPECT_EQ(runner_->running(), 2U);
  EXPECT_EQ(runner_->cancel(id).status, JobStatus::kCancelled);
  EXPECT_TRUE(runner_->drain(Clock::now() + seconds(20)));
  EXPECT_EQ(stopped, 2);
  EXPECT_EQ(begun, 2);
  EXPECT_EQ(store_->find(id)->done, 0);
  expect_error(ErrorCode::kNotFound, "job_x", [&] { runner_->cancel("job_x"); });
}

TEST_F(JobRunnerTest, CancellingEndsABackOff) {
  std::atomic<int> calls = 0;
  start(
      [&](const JobImage&, const std::stop_token&, const Completion& done) {
        ++calls;
        done.fault("down");
      },
      {.concurrency = 1, .first_backoff = seconds(100), .max_backoff = seconds(100)});
  const std::string id = store_->create(job_of("a", 1)).id;
  while (calls < 1) std::this_thread::yield();
  std::this_thread::sleep_for(milliseconds(5));
  runner_->cancel(id);
  const auto begun = Clock::now();
  while (runner_->running() != 0) std::this_thread::yield();
  EXPECT_LT(Clock::now() - begun, seconds(20));
}

TEST_F(JobRunnerTest, DrainLeavesTheRestToTheNextStart) {
  std::atomic<int> begun = 0;
  std::atomic<bool> open = false;
  start(
      [&](const JobImage& image, std::stop_token, const Completion& done) {
        ++begun;
        while (!open) std::this_thread::sleep_for(milliseconds(1));
        done(image.source, false);
      },
      {.concurrency = 2});
  const std::string id = store_->create(job_of("a", 10)).id;
  while (begun < 2) std::this_thread::yield();
  std::thread opener([&] {
    std::this_thread::sleep_for(milliseconds(20));
    open = true;
  });
  EXPECT_TRUE(runner_->drain(Clock::now() + seconds(20)));
  opener.join();
  EXPECT_EQ(begun, 2);
  EXPECT_EQ(store_->find(id)->done, 2);
  runner_.reset();
  store_.reset();

  start([](const JobImage& image, std::stop_token, const Completion& done) {
    done(image.source, false);
  });
  EXPECT_EQ(wait(id).done, 10);
}

TEST_F(JobRunnerTest, DrainDoesNotWaitForAnAnswerThatDoesNotCome) {
  std::mutex mutex;
  std::vector<Completion> held;
  std::vector<std::stop_token> tokens;
  start([&](const JobImage&, const std::stop_token& stop, const Completion& done) {
    const std::lock_guard lock(mutex);
    held.push_back(done);
    tokens.push_back(stop);
  });
  const std::string id = store_->create(job_of("a", 10)).id;
  while (runner_->running() < 4) std::this_thread::yield();
  for (std::size_t have = 0; have < 4;) {
    const std::lock_guard lock(mutex);
    have = held.size();
  }
  EXPECT_FALSE(runner_->drain(Clock::now() + milliseconds(20)));
  for (const std::stop_token& token : tokens) EXPECT_TRUE(token.stop_requested());
  runner_.reset();
  for (const Completion& done : held) done("too late", false);  // harmless
  EXPECT_EQ(store_->find(id)->done, 0);
  int left = 0;
  while (store_->claim()) ++left;
  EXPECT_EQ(left, 10) << "nothing is lost";
}

TEST_F(JobRunnerTest, AFullDiskIsWaitedOut) {
  std::atomic<int> problems = 0;
  store_ = std::make_shared<JobStore>(files_.options());
  const std::string id = store_->create(job_of("a", 5)).id;
  {
    const auto log = std::filesystem::file_size(files_.options().file.string() + "-wal");
    const test::FullDisk full(log);
    start([&](const JobImage& image, std::stop_token,
              const Completion& done) { done(std::string(20'000, 'x') + image.source, false); },
          {.concurrency = 2, .on_problem = [&](const std::string& message) {
             EXPECT_NE(message.find("jobs.sqlite"), std::string::npos);
             ++problems;
           }});
    while (problems < 5) std::this_thread::yield();
  }
  EXPECT_EQ(wait(id).done, 5);
  for (const ImageResult& image : store_->results(id, 0, 10).images) {
    EXPECT_EQ(image.result.size(), 20'000 + std::string("a source 0").size());
  }
}

TEST_F(JobRunnerTest, AResultTooLargeIsAFailure) {
  auto options = files_.options();
  options.max_result_bytes = 200;
  store_ = std::make_shared<JobStore>(options);
  start([](const JobImage&, std::stop_token, const Completion& done) {
    done(std::string(201, 'x'), false);
  });
  const std::string id = store_->create(job_of("a", 1)).id;
  EXPECT_EQ(wait(id).failed, 1);
  EXPECT_NE(store_->results(id, 0, 1).images[0].result.find("at most 200"), std::string::npos);
}

TEST_F(JobRunnerTest, RefusesOptionsOutOfRange) {
  store_ = std::make_shared<JobStore>(files_.options());
  const Processor nothing = [](const JobImage&, std::stop_token, const Completion&) {};
  const auto invalid = [&](std::string_view part, const JobRunnerOptions& options) {
    expect_error(ErrorCode::kInvalidArgument, part, [&] { JobRunner(store_, nothing, options); });
  };
  invalid("concurrency", {.concurrency = 0});
  invalid("concurrency", {.concurrency = 257});
  invalid("max_attempts", {.max_attempts = 0});
  invalid("first_backoff", {.first_backoff = milliseconds(0)});
  invalid("sweep_every", {.sweep_every = seconds(0)});
  expect_error(ErrorCode::kInvalidArgument, "store", [&] { JobRunner(nullptr, nothing); });
  expect_error(ErrorCode::kInvalidArgument, "processor", [&] { JobRunner(store_, {}); });
}

}  // namespace
}  // namespace itemcrop::jobs
