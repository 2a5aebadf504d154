#include "store/store_monitor.h"

#include <filesystem>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/temporary_folder.h"

namespace itemcrop::store {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

class StoreMonitorTest : public ::testing::Test {
 protected:
  void put(const std::string& key) {
    store_->put(key, std::as_bytes(std::span("0123456789", 10)), "");
  }

  /// Ends when `holds` does, or after ten seconds.
  template <class Condition>
  static bool comes_true(const Condition& holds) {
    const auto end = std::chrono::steady_clock::now() + 10s;
    while (!holds() && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(2ms);
    return holds();
  }

  test::TemporaryFolder folder_;
  fs::path crops_ = folder_.path() / "crops";
  std::shared_ptr<LocalStore> store_ =
      std::make_shared<LocalStore>(LocalStoreOptions{.folder = crops_, .max_bytes = 15});
};

TEST_F(StoreMonitorTest, SweepsAtItsStartAndAgain) {
  put("a.jpg");
  put("b.jpg");
  std::mutex mutex;
  std::vector<SweepReport> reports;
  const auto sweeps = [&] {
    const std::lock_guard lock(mutex);
    return reports.size();
  };
  StoreMonitorOptions options;
  options.sweep_every = 5ms;
  options.on_sweep = [&](const SweepReport& report) {
    const std::lock_guard lock(mutex);
    reports.push_back(report);
  };
  const StoreMonitor store_monitor(store_, options);
  ASSERT_TRUE(comes_true([&] { return sweeps() == 1; }));
  put("c.jpg");
  ASSERT_TRUE(comes_true([&] { return sweeps() == 2; }));
  const std::lock_guard lock(mutex);
  EXPECT_EQ(reports[0].files_removed, 1U);
  EXPECT_EQ(reports[1].bytes_kept, 10U);
}

TEST_F(StoreMonitorTest, SaysWhenNothingCanBeKept) {
  std::mutex mutex;
  std::vector<std::string> told;
  StoreMonitorOptions options;
  options.check_every = 5ms;
  options.on_error = [&](const std::string& error) {
    const std::lock_guard lock(mutex);
    told.push_back(error);
  };
  {
    const StoreMonitor store_monitor(store_, options);
    EXPECT_EQ(store_monitor.error(), "");
    fs::rename(crops_, folder_.path() / "away");
    // The check that the renaming interrupts may say something else.
    ASSERT_TRUE(comes_true([&] {
      return store_monitor.error().starts_with("store: cannot see folder");
    })) << store_monitor.error();
    fs::rename(folder_.path() / "away", crops_);
    ASSERT_TRUE(comes_true([&] { return store_monitor.error().empty(); }));
    std::this_thread::sleep_for(50ms);  // checks that change nothing
  }
  ASSERT_EQ(told.size(), 2U) << "once a change";
  EXPECT_NE(told[0], "");
  EXPECT_EQ(told[1], "");
}

TEST_F(StoreMonitorTest, SweepsBeforeItsTimeWhenMuchIsWritten) {
  StoreMonitorOptions options;
  options.check_every = 5ms;
  options.sweep_every = 1h;
  const StoreMonitor store_monitor(store_, options);
  const auto kept = [&] {
    return std::distance(fs::directory_iterator(crops_), fs::directory_iterator());
  };
  for (const char* name : {"a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"}) put(name);
  EXPECT_TRUE(comes_true([&] { return kept() <= 3; })) << kept();
}

TEST_F(StoreMonitorTest, EndsAtOnce) {
  const auto started = std::chrono::steady_clock::now();
  { const StoreMonitor store_monitor(store_, {}); }
  EXPECT_LT(std::chrono::steady_clock::now() - started, 5s);
}

}  // namespace
}  // namespace itemcrop::store
