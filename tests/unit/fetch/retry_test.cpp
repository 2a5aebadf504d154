#include "fetch/retry.h"

#include <chrono>
#include <cstdio>
#include <ctime>
#include <vector>

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/http_server.h"

namespace itemcrop::fetch {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using test::HttpServer;
using test::HttpServerConnection;
using test::HttpServerRequest;

/// A clock that moves only by sleeping.
struct FakeClock {
  std::chrono::steady_clock::time_point now{};
  std::vector<milliseconds> slept;
  double chance = 1;

  RetryClock clock() {
    return {[this] { return now; },
            [this](milliseconds duration, const std::stop_token&) {
              slept.push_back(duration);
              now += duration;
            },
            [this] { return chance; }};
  }
};

TEST(RetrySchedule, DoublesUpToTheLimitWithJitter) {
  FakeClock fake;
  const RetryClock clock = fake.clock();
  RetryBudget budget;
  const RetryPolicy policy{.max_tries = 6, .first_delay = 100ms, .max_delay = 500ms};
  RetrySchedule schedule(policy, budget, clock);
  while (schedule.pause(std::nullopt, {})) {
  }
  EXPECT_EQ(fake.slept, (std::vector<milliseconds>{100ms, 200ms, 400ms, 500ms, 500ms}));

  fake.slept.clear();
  fake.chance = 0.25;
  RetrySchedule quarter(policy, budget, clock);
  EXPECT_TRUE(quarter.pause(std::nullopt, {}));
  EXPECT_EQ(fake.slept, (std::vector<milliseconds>{25ms}));
}

TEST(RetrySchedule, HonoursRetryAfterWithinItsLimit) {
  FakeClock fake;
  const RetryClock clock = fake.clock();
  RetryBudget budget;
  RetrySchedule schedule({.max_retry_after = 3s}, budget, clock);
  EXPECT_TRUE(schedule.pause(3s, {}));
  EXPECT_FALSE(schedule.pause(3001ms, {}));
  EXPECT_EQ(fake.slept, (std::vector<milliseconds>{3s}));
}

TEST(RetrySchedule, StartsNoTryAfterTheTotalTime) {
  FakeClock fake;
  const RetryClock clock = fake.clock();
  RetryBudget budget;
  RetrySchedule schedule({.max_tries = 100, .first_delay = 400ms, .total = 1s}, budget, clock);
  EXPECT_TRUE(schedule.pause(std::nullopt, {}));
  EXPECT_FALSE(schedule.pause(std::nullopt, {}));
  schedule.progress();
  EXPECT_TRUE(schedule.pause(std::nullopt, {}));
}

TEST(RetryBudget, StopsRetriesOfManyCallsAndRefills) {
  FakeClock fake;
  const RetryClock clock = fake.clock();
  RetryBudget budget(3);
  int retries = 0;
  for (int call = 0; call < 10; ++call) {
    RetrySchedule schedule({.max_tries = 2}, budget, clock);
    retries += schedule.pause(std::nullopt, {}) ? 1 : 0;
  }
  EXPECT_EQ(retries, 3);
  EXPECT_FALSE(budget.take());
  budget.on_success();
  budget.on_success();
  EXPECT_TRUE(budget.take());
  for (int i = 0; i < 100; ++i) budget.on_success();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(budget.take());
  EXPECT_FALSE(budget.take());
}

TEST(RetrySchedule, StopsWhenNobodyWaits) {
  const RetryClock clock = system_retry_clock();
  RetryBudget budget;
  std::stop_source stop;
  stop.request_stop();
  RetrySchedule schedule({.first_delay = 1h, .max_delay = 1h, .total = 10h}, budget, clock);
  test::expect_error(ErrorCode::kCancelled, "cancelled",
                     [&] { schedule.pause(std::nullopt, stop.get_token()); });
}

TEST(RetryAfter, ReadsSecondsAndDates) {
  EXPECT_EQ(retry_after("2"), 2s);
  EXPECT_EQ(retry_after("0"), 0s);
  EXPECT_EQ(retry_after("99999999"), 24h);
  EXPECT_FALSE(retry_after(""));
  EXPECT_FALSE(retry_after("-1"));
  EXPECT_FALSE(retry_after("soon"));
  EXPECT_EQ(retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), 0s);
  const std::time_t later = std::time(nullptr) + 100;
  char text[64];
  std::strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", std::gmtime(&later));
  const auto date = retry_after(text);
  ASSERT_TRUE(date);
  EXPECT_GE(*date, 98s);
  EXPECT_LE(*date, 100s);
}

TEST(SendWithRetries, TriesAgainAfterPassingFailuresOnly) {
  std::vector<int> answers;
  std::size_t next = 0;
  const HttpServer server([&](const HttpServerRequest&, HttpServerConnection& connection) {
    const int status = answers.at(next++);
    if (status == 0) return connection.close();  // hangs up
    connection.respond(status, "", status == 429 ? "Retry-After: 1\r\n" : "");
  });
  FakeClock fake;
  fake.chance = 0;
  const RetryClock clock = fake.clock();
  RetryBudget budget;
  HttpRequest request;
  request.url = server.url();
  const auto send = [&](std::vector<int> script) {
    answers = std::move(script);
    next = 0;
    return send_with_retries(HttpClient(), request, {.max_tries = 4}, budget, clock, {}).status;
  };
  EXPECT_EQ(send({200}), 200);
  EXPECT_EQ(send({500, 0, 503, 200}), 200);
  EXPECT_EQ(send({404}), 404);
  EXPECT_EQ(send({403}), 403);
  EXPECT_EQ(send({503, 503, 503, 503}), 503);
  EXPECT_THROW(send({0, 0, 0, 0}), Error);
  fake.slept.clear();
  EXPECT_EQ(send({429, 200}), 200);
  EXPECT_EQ(fake.slept, (std::vector<milliseconds>{1s}));
}

}  // namespace
}  // namespace itemcrop::fetch
