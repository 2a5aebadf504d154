#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "service/legacy/analysis_cache.h"
#include "service/legacy/json.h"

namespace itemcrop::service::legacy {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

crop::FoundItem item_of(const std::string& category, const std::string& prompt,
                        const std::string& description, float score) {
  crop::FoundItem item;
  item.category = category;
  item.prompt = prompt;
  item.description = description;
  item.detection.score = score;
  return item;
}

Analysis result_of(const std::string& category) {
  Analysis result;
  result.image.items.push_back(item_of(category, "prompt", "description", 0.5F));
  return result;
}

/// Joins, waits, and computes where this caller gets the ticket.
AnalysisCache::Outcome get_or_compute(AnalysisCache& cache, const std::string& key,
                                      const std::function<Analysis()>& compute) {
  const auto joined = std::make_shared<std::promise<AnalysisCache::Outcome>>();
  cache.join(key,
             [joined](AnalysisCache::Outcome outcome) { joined->set_value(std::move(outcome)); });
  AnalysisCache::Outcome outcome = joined->get_future().get();
  if (!outcome.ticket) return outcome;
  try {
    outcome.value = std::make_shared<const Analysis>(compute());
  } catch (...) {
    outcome.ticket->fail(std::current_exception());
    throw;
  }
  outcome.ticket->complete(outcome.value);
  return outcome;
}

struct Fixture : ::testing::Test {
  AnalysisCacheOptions options() {
    AnalysisCacheOptions o;
    o.now = [this] { return now; };
    return o;
  }
  Clock::time_point now{};
};
using AnalysisCacheTest = Fixture;

TEST(AnalysisKey, DependsOnImageAndSettings) {
  const auto key = [](const std::string& image, const std::string& settings) {
    return analysis_key(std::as_bytes(std::span(image)), settings);
  };
  EXPECT_EQ(key("abc", "x").size(), 64U);
  EXPECT_EQ(key("abc", "x"), key("abc", "x"));
  EXPECT_NE(key("abc", "x"), key("abc", "y"));
  EXPECT_NE(key("abc", "x"), key("abd", "x"));
  EXPECT_NE(key("bc", "a"), key("c", "ab"));
  // SHA-256 of eight zero bytes.
  EXPECT_EQ(key("", ""), "af5570f5a1810b7af78caf4bc70a660f0df51e42baf91d4de5b2328de0e83dfc");
}

TEST_F(AnalysisCacheTest, ComputesOnceWithinTheTimeToLive) {
  AnalysisCache cache(options());
  int runs = 0;
  const auto compute = [&] {
    ++runs;
    return result_of("tops");
  };
  EXPECT_FALSE(get_or_compute(cache, "k", compute).cached);
  now += std::chrono::minutes(10) - milliseconds(1);
  const AnalysisCache::Outcome again = get_or_compute(cache, "k", compute);
  EXPECT_TRUE(again.cached);
  EXPECT_EQ(again.value->image.items.at(0).category, "tops");
  now += milliseconds(1);
  EXPECT_FALSE(get_or_compute(cache, "k", compute).cached) << "use does not prolong it";
  EXPECT_EQ(runs, 2);
  now += std::chrono::hours(1);
  get_or_compute(cache, "other", compute);
  EXPECT_EQ(cache.entries(), 1U) << "what is expired is removed";
}

TEST_F(AnalysisCacheTest, IsBoundedInBytesAndForgetsTheLeastUsed) {
  AnalysisCacheOptions o = options();
  AnalysisCache measure(o);
  get_or_compute(measure, "a", [] { return result_of("tops"); });
  o.max_bytes = 3 * measure.bytes();
  AnalysisCache cache(o);
  const auto compute = [] { return result_of("tops"); };
  for (const char* key : {"a", "b", "c"}) get_or_compute(cache, key, compute);
  EXPECT_TRUE(get_or_compute(cache, "a", compute).cached);
  get_or_compute(cache, "d", compute);
  EXPECT_EQ(cache.entries(), 3U);
  EXPECT_LE(cache.bytes(), o.max_bytes);
  EXPECT_TRUE(get_or_compute(cache, "a", compute).cached);
  EXPECT_FALSE(get_or_compute(cache, "b", compute).cached);

  // One that is larger than the cache is answered but not kept, and pushes nothing out.
  const auto large = [&] { return result_of(std::string(o.max_bytes, 'x')); };
  EXPECT_FALSE(get_or_compute(cache, "large", large).cached);
  EXPECT_FALSE(get_or_compute(cache, "large", large).cached);
  EXPECT_EQ(cache.entries(), 3U);
  cache.clear();
  EXPECT_EQ(cache.bytes(), 0U);
}

TEST_F(AnalysisCacheTest, ZeroTimeToLiveKeepsNothing) {
  AnalysisCacheOptions o = options();
  o.time_to_live = milliseconds(0);
  AnalysisCache cache(o);
  EXPECT_FALSE(get_or_compute(cache, "k", [] { return result_of("a"); }).cached);
  EXPECT_FALSE(get_or_compute(cache, "k", [] { return result_of("a"); }).cached);
}

TEST(AnalysisCacheThreads, TheSameImageAtOnceIsComputedOnce) {
  AnalysisCache cache;
  std::atomic<int> runs = 0;
  std::atomic<int> cached = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 16; ++i) {
      threads.emplace_back([&] {
        const auto answer = get_or_compute(cache, "k", [&] {
          ++runs;
          std::this_thread::sleep_for(milliseconds(50));
          return result_of("tops");
        });
        if (answer.cached) ++cached;
      });
    }
  }
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(cached, 15);
}

TEST(AnalysisCacheThreads, ManyKeysFromManyThreads) {
  AnalysisCacheOptions options;
  options.max_bytes = 20'000;
  AnalysisCache cache(options);
  std::vector<std::jthread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&cache, t] {
      for (int i = 0; i < 300; ++i) {
        const std::string key = std::to_string((i * 7 + t) % 40);
        try {
          const auto answer = get_or_compute(cache, key, [&] {
            if (i % 11 == 0) throw Error(ErrorCode::kCancelled, "left");
            return result_of(key);
          });
          EXPECT_EQ(answer.value->image.items.at(0).category, key);
        } catch (const Error& error) {
          EXPECT_EQ(error.code(), ErrorCode::kCancelled);
        }
      }
    });
  }
  threads.clear();
  EXPECT_LE(cache.bytes(), 20'000U);
}

TEST(AnalysisCacheJoin, HandsOutOneTicketAndOneAnswerEach) {
  AnalysisCache cache;
  std::vector<AnalysisCache::Outcome> outcomes;
  const auto ready = [&](AnalysisCache::Outcome outcome) {
    outcomes.push_back(std::move(outcome));
  };
  cache.join("k", ready);
  cache.join("k", ready);
  cache.join("k", ready);
  ASSERT_EQ(outcomes.size(), 1U);
  ASSERT_TRUE(outcomes[0].ticket);
  AnalysisCache::Ticket ticket = std::move(*outcomes[0].ticket);
  ticket.complete(std::make_shared<const Analysis>(result_of("tops")));
  ASSERT_EQ(outcomes.size(), 3U);
  EXPECT_TRUE(outcomes[1].cached);
  EXPECT_EQ(outcomes[1].value, outcomes[2].value);
  cache.join("k", ready);
  EXPECT_TRUE(outcomes[3].cached);
  ticket.complete(nullptr);  // used up: nothing happens
}

TEST(AnalysisCacheJoin, AFailureIsSharedACancellationIsNot) {
  AnalysisCache cache;
  std::vector<AnalysisCache::Outcome> outcomes;
  const auto ready = [&](AnalysisCache::Outcome outcome) {
    outcomes.push_back(std::move(outcome));
  };
  outcomes.reserve(10);
  for (int i = 0; i < 4; ++i) cache.join("k", ready);
  outcomes[0].ticket->fail(std::make_exception_ptr(Error(ErrorCode::kCancelled, "left")));
  ASSERT_EQ(outcomes.size(), 2U);
  ASSERT_TRUE(outcomes[1].ticket) << "the next one computes";
  outcomes[1].ticket.reset();  // dropped: the same
  ASSERT_EQ(outcomes.size(), 3U);
  outcomes[2].ticket->fail(std::make_exception_ptr(Error(ErrorCode::kCorruptImage, "bad")));
  ASSERT_EQ(outcomes.size(), 4U);
  EXPECT_TRUE(outcomes[3].problem);
  EXPECT_FALSE(outcomes[3].ticket);
  cache.join("k", ready);
  EXPECT_TRUE(outcomes[4].ticket) << "failures are not kept";
}

TEST(LegacyJson, IsTheOldContractsShape) {
  Analysis result = result_of("tops");
  result.image.items[0].detection.score = 0.1234567F;
  result.image.items.push_back(item_of("bag", "bag", "black bag", 0.9F));
  result.image.items.back().crop.emplace().url = "https://x/y.jpg";
  crop::Timing& timing = result.image.timing;
  timing.fetch = 100;
  timing.model = 250;
  timing.decode = 50;
  timing.store = 200;
  result.total_seconds = 0.7;
  const std::string text = analysis_json(result, true).dump();
  EXPECT_EQ(text, R"({"items":[{"category":"tops","groundingdino_prompt":"prompt",)"
                  R"("description":"description","croppedImageUrl":null,"confidence":0.123457},)"
                  R"({"category":"bag","groundingdino_prompt":"bag","description":"black bag",)"
                  R"("croppedImageUrl":"https://x/y.jpg","confidence":0.9}],"cached":true,)"
                  R"("timing":{"download_seconds":0.1,"gpt4o_seconds":0.0,)"
                  R"("groundingdino_seconds":0.25,"processing_seconds":0.05,"upload_seconds":0.2,)"
                  R"("overhead_seconds":0.1,"total_seconds":0.7}})");
  EXPECT_GT(result.bytes(), sizeof(result));
}

}  // namespace
}  // namespace itemcrop::service::legacy
