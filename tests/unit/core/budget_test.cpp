#include "core/budget.h"

#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace itemcrop {
namespace {

using namespace std::chrono_literals;

Budget bytes(std::int64_t total, double caller_share = 1) {
  return Budget({"max_bytes", total, "caller_share", caller_share});
}

std::string message_of(const std::function<void()>& call, ErrorCode code) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

TEST(Budget, GivesLeasesUpToItsLimitAndTakesThemBack) {
  Budget budget = bytes(100);
  {
    const Lease first = budget.take(60);
    EXPECT_EQ(budget.used(), 60);
    EXPECT_FALSE(budget.try_take(41));
    const auto second = budget.try_take(40);
    ASSERT_TRUE(second);
    EXPECT_EQ(budget.used(), 100);
  }
  EXPECT_EQ(budget.used(), 0);
  EXPECT_EQ(budget.peak(), 100);
}

TEST(Budget, RefusalsNameTheSettingTheLimitAndTheValue) {
  Budget budget = bytes(100, 0.5);
  const Lease held = budget.take(40, "a");
  EXPECT_EQ(message_of([&] { budget.take(101); }, ErrorCode::kLimitExceeded),
            "max_bytes: 101 are more than the limit of 100");
  EXPECT_EQ(message_of([&] { budget.take(61); }, ErrorCode::kOverloaded),
            "max_bytes: 40 of 100 are in use, 61 more do not fit");
  EXPECT_EQ(message_of([&] { budget.take(51, "b"); }, ErrorCode::kLimitExceeded),
            "caller_share: 51 are more than one caller's limit of 50");
  EXPECT_EQ(
      message_of([&] { budget.take(11, "a"); }, ErrorCode::kOverloaded),
      "caller_share: one caller may have 50 beside what others hold, this one has 40 and asks "
      "for 11 more");
}

TEST(Budget, CallersHaveSharesOfTheirOwn) {
  Budget budget = bytes(100, 0.5);
  Lease first = budget.take(50, "a");
  EXPECT_FALSE(budget.try_take(1, "a"));
  const auto second = budget.try_take(25, "b");
  ASSERT_TRUE(second);
  EXPECT_FALSE(budget.try_take(1, "b"));
  EXPECT_EQ(budget.used_by("a"), 50);
  first.release();
  EXPECT_EQ(budget.used_by("a"), 0);
  EXPECT_TRUE(budget.try_take(25, "b"));
}

TEST(Budget, SeveralCallersTogetherLeaveRoomForTheNext) {
  Budget budget = bytes(64, 0.75);
  std::vector<Lease> leases;
  const auto take_all = [&](const std::string& caller) {
    int count = 0;
    for (auto one = budget.try_take(1, caller); one; one = budget.try_take(1, caller)) {
      leases.push_back(std::move(*one));
      ++count;
    }
    return count;
  };
  EXPECT_EQ(take_all("a"), 48);
  EXPECT_EQ(take_all("b"), 8);  // up to the reserve
  for (const char* caller : {"c", "d", "e"}) EXPECT_EQ(take_all(caller), 1) << caller;
  leases.erase(leases.begin(), leases.begin() + 20);  // of a
  EXPECT_EQ(take_all("e"), 17);
}

TEST(Budget, LeasesGrowAndShrink) {
  Budget budget = bytes(100);
  Lease lease = budget.take(10);
  lease.grow(80);
  EXPECT_EQ(lease.amount(), 90);
  EXPECT_FALSE(lease.try_grow(11));
  EXPECT_EQ(message_of([&] { lease.grow(11); }, ErrorCode::kOverloaded),
            "max_bytes: 90 of 100 are in use, 11 more do not fit");
  EXPECT_EQ(lease.amount(), 90);
  lease.shrink(50);
  EXPECT_EQ(budget.used(), 40);
  lease.resize(70);
  EXPECT_EQ(budget.used(), 70);
  lease.resize(5);
  lease.shrink(1000);
  EXPECT_EQ(budget.used(), 0);
}

TEST(Budget, AmountsNearTheEndOfTheirTypeAreRefused) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  Budget budget = bytes(kMost);
  const Lease held = budget.take(10);
  EXPECT_FALSE(budget.try_take(kMost));
  EXPECT_THROW(budget.take(-1), std::logic_error);
}

TEST(Budget, LeasesMoveAndOutliveTheirBudget) {
  Lease kept;
  {
    Budget budget = bytes(10);
    Lease taken = budget.take(10);
    kept = std::move(taken);
    EXPECT_EQ(budget.used(), 10);
    kept = budget.try_take(0).value();
    EXPECT_EQ(budget.used(), 0);
    kept = budget.take(7);
  }
  EXPECT_EQ(kept.amount(), 7);
}

TEST(BudgetWait, ReturnsOnceThereIsRoom) {
  Budget budget = bytes(10);
  Lease held = budget.take(10);
  std::jthread other([&] {
    std::this_thread::sleep_for(20ms);
    held.release();
  });
  EXPECT_EQ(budget.wait(6).amount(), 6);
}

TEST(BudgetWait, EndsAtTheDeadlineAndWhenNobodyWaitsAnyMore) {
  Budget budget = bytes(10);
  const Lease held = budget.take(10);
  message_of([&] { budget.wait(1, {}, {}, Budget::Clock::now() + 20ms); },
             ErrorCode::kDeadlineExceeded);
  std::stop_source stop;
  std::jthread other([&] {
    std::this_thread::sleep_for(20ms);
    stop.request_stop();
  });
  message_of([&] { budget.wait(1, {}, stop.get_token()); }, ErrorCode::kCancelled);
  message_of([&] { budget.wait(1, {}, stop.get_token()); }, ErrorCode::kCancelled);
  message_of([&] { budget.wait(11); }, ErrorCode::kLimitExceeded);
  EXPECT_EQ(budget.used(), 10);
}

TEST(BudgetWait, ServesInOrderSoThatLargeOnesAreNotOvertakenForEver) {
  Budget budget = bytes(10);
  Lease held = budget.take(6);
  std::vector<int> order;
  std::vector<Lease> leases;
  const auto note = [&](int number) {
    return [&, number](const std::exception_ptr&, Lease lease) {
      order.push_back(number);
      leases.push_back(std::move(lease));
    };
  };
  budget.wait_async(10, "", {}, note(1));
  budget.wait_async(1, "", {}, note(2));  // would fit, but is later
  EXPECT_TRUE(order.empty());
  held.release();
  EXPECT_EQ(order, std::vector<int>{1});
  leases.front().release();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

TEST(BudgetWait, AFullShareHoldsUpNobodyElse) {
  Budget budget = bytes(100, 0.1);
  Lease held = budget.take(10, "a");
  int mine = 0;
  int others = 0;
  std::vector<Lease> leases;
  budget.wait_async(1, "a", {}, [&](const std::exception_ptr&, Lease lease) {
    ++mine;
    leases.push_back(std::move(lease));
  });
  budget.wait_async(1, "b", {}, [&](const std::exception_ptr&, Lease lease) {
    ++others;
    leases.push_back(std::move(lease));
  });
  EXPECT_EQ(mine, 0);
  EXPECT_EQ(others, 1);
  held.release();
  EXPECT_EQ(mine, 1);
}

TEST(BudgetWait, TheCallerWhoHoldsLeastComesFirst) {
  Budget budget = bytes(100, 0.75);
  Lease held = budget.take(60, "a");
  const Lease others = budget.take(20, "b");
  std::vector<std::string> order;
  std::vector<Lease> leases;
  for (const char* caller : {"a", "b", "c"}) {
    budget.wait_async(10, caller, {}, [&, caller](const std::exception_ptr&, Lease lease) {
      order.emplace_back(caller);
      leases.push_back(std::move(lease));
    });
  }
  EXPECT_EQ(order, std::vector<std::string>{"c"}) << "the reserve is for who comes new";
  held.shrink(20);
  EXPECT_EQ(order, (std::vector<std::string>{"c", "b"}));
  held.shrink(20);
  EXPECT_EQ(order, (std::vector<std::string>{"c", "b", "a"}));
}

TEST(BudgetWait, WhoHoldsNothingIsNotOvertakenForEver) {
  Budget budget = bytes(100, 0.75);
  Lease small = budget.take(40, "a");
  bool served = false;
  Lease large;
  budget.wait_async(70, "b", {}, [&](const std::exception_ptr&, Lease lease) {
    served = true;
    large = std::move(lease);
  });
  EXPECT_FALSE(served);
  bool overtook = false;
  Lease more;
  budget.wait_async(10, "a", {}, [&](const std::exception_ptr&, Lease lease) {
    overtook = true;
    more = std::move(lease);
  });
  EXPECT_FALSE(overtook);
  small.release();
  EXPECT_TRUE(served);
}

TEST(BudgetWait, OneThatGivesUpInFrontLetsTheNextThrough) {
  Budget budget = bytes(10);
  const Lease held = budget.take(6);
  std::stop_source stop;
  bool cancelled = false;
  bool served = false;
  Lease lease;
  budget.wait_async(10, "", stop.get_token(), [&](const std::exception_ptr& problem, Lease) {
    cancelled = problem != nullptr;
  });
  budget.wait_async(1, "", {}, [&](const std::exception_ptr&, Lease given) {
    served = true;
    lease = std::move(given);
  });
  EXPECT_FALSE(served);
  stop.request_stop();
  EXPECT_TRUE(cancelled);
  EXPECT_TRUE(served);
}

TEST(BudgetWait, ThreadsThatTakeWaitAndGiveUpLeaveNothingBehind) {
  Budget budget = bytes(16, 0.5);
  std::atomic<std::int64_t> in_use = 0;
  std::atomic<int> over = 0;
  {
    std::vector<std::jthread> threads;
    for (int id = 0; id < 8; ++id) {
      threads.emplace_back([&, id] {
        const std::string caller = std::to_string(id % 3);
        for (int i = 0; i < 400; ++i) {
          std::stop_source stop;
          std::jthread stopper;
          if (i % 4 == 0) stopper = std::jthread([stop]() mutable { stop.request_stop(); });
          try {
            Lease lease =
                budget.wait(1 + i % 8, caller, stop.get_token(),
                            Budget::Clock::now() + std::chrono::microseconds(i % 7 * 300));
            if ((in_use += lease.amount()) > 16) ++over;
            in_use -= lease.amount();
            lease.shrink(1);
            lease.try_grow(1);
          } catch (const Error&) {
          }
        }
      });
    }
  }
  EXPECT_EQ(over, 0);
  EXPECT_EQ(budget.used(), 0);
  EXPECT_LE(budget.peak(), 16);
}

}  // namespace
}  // namespace itemcrop
