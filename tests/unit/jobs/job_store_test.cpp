#include "jobs/job_store.h"

#include <atomic>
#include <fstream>
#include <set>
#include <thread>

#include <gtest/gtest.h>

#include "job_fixture.h"
#include "jobs/sqlite.h"
#include "support/expect_error.h"

namespace itemcrop::jobs {
namespace {

using test::expect_error;
using test::job_of;

class JobStoreTest : public ::testing::Test {
 protected:
  void open(JobStoreOptions options) {
    store_.reset();
    store_ = std::make_unique<JobStore>(options);
  }
  void open() { open(files_.options()); }
  /// Finishes `count` images, whichever come.
  void work(int count, const std::string& result = "result") {
    for (int i = 0; i < count; ++i) {
      const auto image = store_->claim();
      ASSERT_TRUE(image.has_value());
      EXPECT_TRUE(store_->finish(*image, result + " of " + image->source, false));
    }
  }

  test::JobFixture files_;
  std::unique_ptr<JobStore> store_;
};

TEST_F(JobStoreTest, AJobWhosePicturesAllFailedHasFailed) {
  open();
  const JobInfo some = store_->create(job_of("a", 2, 10));
  EXPECT_TRUE(store_->finish(*store_->claim(), "bad", true));
  EXPECT_TRUE(store_->finish(*store_->claim(), "good", false));
  EXPECT_EQ(store_->find(some.id)->status, JobStatus::kDone);
  const JobInfo all = store_->create(job_of("b", 1, 10));
  EXPECT_TRUE(store_->finish(*store_->claim(), "bad", true));
  const JobInfo ended = *store_->find(all.id);
  EXPECT_EQ(ended.status, JobStatus::kFailed);
  EXPECT_TRUE(ended.finished_for_good());
  EXPECT_TRUE(store_->events(all.id, 1, 10).complete);
  EXPECT_EQ(store_->counts().done, 1);
  EXPECT_EQ(store_->counts().failed, 1);
}

TEST_F(JobStoreTest, KeepsAJobFromItsCreationToItsEnd) {
  open();
  const JobInfo created = store_->create(job_of("a", 3, 10));
  EXPECT_EQ(created.id.size(), 36U);
  EXPECT_EQ(created.status, JobStatus::kQueued);
  EXPECT_EQ(created.total, 3);
  EXPECT_EQ(store_->find("job_none"), std::nullopt);

  const auto image = store_->claim();
  ASSERT_TRUE(image.has_value());
  EXPECT_EQ(image->job_id, created.id);
  EXPECT_EQ(*image->options, "{\"name\": \"a\"}");
  EXPECT_EQ(image->owner, "owner of a");
  EXPECT_EQ(image->position, 0);
  EXPECT_EQ(image->id, "id 0");
  EXPECT_EQ(image->source, "a source 0");
  EXPECT_EQ(image->bytes, std::string(10, 'a'));
  EXPECT_EQ(store_->find(created.id)->status, JobStatus::kRunning);
  EXPECT_TRUE(store_->finish(*image, "first", true));
  EXPECT_FALSE(store_->finish(*image, "again", false)) << "it has its result";
  work(2);
  EXPECT_EQ(store_->claim(), std::nullopt);

  const JobInfo info = *store_->find(created.id);
  EXPECT_EQ(info.status, JobStatus::kDone);
  EXPECT_EQ(info.done, 2);
  EXPECT_EQ(info.failed, 1);
  EXPECT_EQ(info.last_event, 3);
  EXPECT_GE(info.finished, info.created);
  EXPECT_EQ(info.options, "{\"name\": \"a\"}");
  const ResultsPage page = store_->results(created.id, 0, 1000);
  ASSERT_EQ(page.images.size(), 3U);
  EXPECT_EQ(page.images[0].state, ImageState::kFailed);
  EXPECT_EQ(page.images[0].result, "first");
  EXPECT_EQ(page.images[2].result, "result of a source 2");
  EXPECT_EQ(page.images[2].id, "id 2");
}

TEST_F(JobStoreTest, GivesResultsInPages) {
  auto options = files_.options();
  options.max_page_bytes = 100;
  open(options);
  const std::string id = store_->create(job_of("a", 10)).id;
  work(4, std::string(60, 'x'));
  EXPECT_EQ(store_->results(id, 8, 5).images.size(), 2U);
  EXPECT_EQ(store_->results(id, 10, 5).images.size(), 0U);
  const auto middle = store_->results(id, 4, 3).images;
  ASSERT_EQ(middle.size(), 3U);
  EXPECT_EQ(middle[0].position, 4);
  EXPECT_EQ(middle[0].state, ImageState::kWaiting);
  EXPECT_EQ(middle[0].result, "");
  EXPECT_EQ(store_->results(id, 0, 10).images.size(), 2U) << "cut by bytes";
  EXPECT_EQ(store_->events(id, 0, 10).events.size(), 2U);
  expect_error(ErrorCode::kInvalidArgument, "limit", [&] { store_->results(id, 0, 0); });
  expect_error(ErrorCode::kInvalidArgument, "1 to 1000", [&] { store_->results(id, 0, 1001); });
  expect_error(ErrorCode::kInvalidArgument, "offset", [&] { store_->results(id, -1, 1); });
  expect_error(ErrorCode::kNotFound, "job_x", [&] { store_->results("job_x", 0, 1); });
  expect_error(ErrorCode::kNotFound, "job_x", [&] { store_->events("job_x", 0, 1); });
  expect_error(ErrorCode::kNotFound, "job_x", [&] { store_->cancel("job_x"); });
}

TEST_F(JobStoreTest, EventsResumeWhereAClientLeftOff) {
  open();
  const std::string id = store_->create(job_of("a", 5)).id;
  EXPECT_FALSE(store_->events(id, 0, 10).complete);
  // Finished out of order.
  std::vector<JobImage> images;
  for (int i = 0; i < 5; ++i) images.push_back(*store_->claim());
  for (const int i : {3, 0, 4}) store_->finish(images[static_cast<std::size_t>(i)], "r", i == 0);
  EventsPage page = store_->events(id, 0, 2);
  ASSERT_EQ(page.events.size(), 2U);
  EXPECT_EQ(page.events[0].sequence, 1);
  EXPECT_EQ(page.events[0].image.position, 3);
  EXPECT_EQ(page.events[1].image.position, 0);
  EXPECT_EQ(page.events[1].done, 1);
  EXPECT_EQ(page.events[1].failed, 1);
  EXPECT_FALSE(page.complete);
  open();  // also after a restart
  work(2);
  page = store_->events(id, 2, 10);
  ASSERT_EQ(page.events.size(), 3U);
  EXPECT_EQ(page.events[0].sequence, 3);
  EXPECT_EQ(page.events[0].image.position, 4);
  EXPECT_EQ(page.events[2].sequence, 5);
  EXPECT_EQ(page.events[2].done, 4);
  EXPECT_TRUE(page.complete);
  EXPECT_TRUE(store_->events(id, 5, 10).complete);
  EXPECT_FALSE(store_->events(id, 3, 1).complete);
}

TEST_F(JobStoreTest, JobsTakeTurns) {
  open();
  store_->create(job_of("a", 3));
  store_->create(job_of("b", 1));
  store_->create(job_of("c", 2));
  std::string order;
  while (const auto image = store_->claim()) order += image->source.substr(0, 1);
  EXPECT_EQ(order, "abcaca");
}

TEST_F(JobStoreTest, AnImageTakenBackIsHandedOutAgain) {
  open();
  store_->create(job_of("a", 2, 5));
  const auto first = store_->claim();
  const auto second = store_->claim();
  EXPECT_EQ(store_->claim(), std::nullopt);
  int offers = 0;
  store_->on_available([&] { ++offers; });
  store_->release(*first);
  store_->release(*first);
  EXPECT_EQ(offers, 1);
  const auto again = store_->claim();
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->position, first->position);
  EXPECT_EQ(again->bytes, first->bytes);
  EXPECT_EQ(store_->claim(), std::nullopt);
}

TEST_F(JobStoreTest, CancellingKeepsWhatIsDoneAndDropsTheRest) {
  auto options = files_.options();
  options.row_bytes = 0;
  open(options);
  const std::string id = store_->create(job_of("a", 4, 1000)).id;
  work(1);
  const auto in_hand = store_->claim();
  const JobInfo info = store_->cancel(id);
  EXPECT_EQ(info.status, JobStatus::kCancelled);
  EXPECT_FALSE(store_->finish(*in_hand, "late", false));
  EXPECT_EQ(store_->claim(), std::nullopt);
  const ResultsPage page = store_->results(id, 0, 10);
  EXPECT_EQ(page.job.status, JobStatus::kCancelled);
  EXPECT_EQ(page.images[0].state, ImageState::kDone);
  EXPECT_EQ(page.images[1].state, ImageState::kCancelled);
  EXPECT_TRUE(store_->events(id, 1, 10).complete);
  EXPECT_LT(store_->counts().bytes, 1000U) << "the waiting images are gone";
  open();
  EXPECT_EQ(store_->claim(), std::nullopt);
  EXPECT_EQ(store_->cancel(id).status, JobStatus::kCancelled);
}

TEST_F(JobStoreTest, ContinuesAfterARestartWithWhatHasNoResult) {
  open();
  const std::string a = store_->create(job_of("a", 5, 100)).id;
  const std::string b = store_->create(job_of("b", 2)).id;
  work(3);
  store_->claim();  // handed out, and lost with the process
  open();
  std::set<std::string> sources;
  while (const auto image = store_->claim()) {
    EXPECT_EQ(image->bytes.size(), image->job_id == a ? 100U : 0U);
    sources.insert(image->source);
  }
  EXPECT_EQ(sources,
            (std::set<std::string>{"a source 2", "a source 3", "a source 4", "b source 1"}));
  EXPECT_EQ(store_->find(a)->done, 2);
  EXPECT_EQ(store_->find(b)->done, 1);
}

TEST_F(JobStoreTest, NamesTheLimitThatIsExceeded) {
  auto options = files_.options();
  options.max_images = 3;
  options.max_text_bytes = 50;
  options.max_image_bytes = 100;
  options.max_result_bytes = 20;
  options.max_unfinished = 2;
  options.max_bytes = 1000;
  options.row_bytes = 0;
  open(options);
  const auto refused = [&](ErrorCode code, std::string_view part, const NewJob& job) {
    expect_error(code, part, [&] { store_->create(job); });
  };
  refused(ErrorCode::kInvalidArgument, "must not be empty", job_of("a", 0));
  refused(ErrorCode::kLimitExceeded, "at most 3, got 4", job_of("a", 4));
  refused(ErrorCode::kLimitExceeded, "images[0]", job_of("a", 1, 101));
  refused(ErrorCode::kLimitExceeded, "options may have at most 50",
          job_of(std::string(50, 'x'), 1));
  NewJob job = job_of("a", 2);
  job.images[1].source = std::string(51, 'x');
  refused(ErrorCode::kLimitExceeded, "images[1] source", job);
  EXPECT_EQ(store_->counts().bytes, 0U);

  for (int i = 0; i < 2; ++i) store_->create(job_of("a", 3, 100));
  refused(ErrorCode::kOverloaded, "at most 2", job_of("a", 1));
  auto image = store_->claim();
  expect_error(ErrorCode::kLimitExceeded, "at most 20",
               [&] { store_->finish(*image, std::string(21, 'x'), false); });
  EXPECT_TRUE(store_->finish(*image, std::string(20, 'x'), false)) << "still handed out";
  while ((image = store_->claim())) store_->finish(*image, "r", false);
  const std::uint64_t small = store_->counts().bytes;
  EXPECT_LT(small, 300U) << "inline images are freed with their results";
  store_->create(job_of("a", 3, 100));
  store_->create(job_of("a", 3, 60));
  while ((image = store_->claim())) store_->finish(*image, std::string(20, 'x'), false);
  open(options);
  NewJob big = job_of("a", 3, 100);
  while (store_->counts().bytes + 500 < options.max_bytes) {
    store_->create(job_of("b", 3));
    while ((image = store_->claim())) store_->finish(*image, std::string(20, 'x'), false);
  }
  for (NewImage& one : big.images) one.source = std::string(50, 's');
  big.images[0].id = big.images[1].id = big.images[2].id = std::string(50, 'i');
  refused(ErrorCode::kOverloaded, "holds", big);
}

TEST_F(JobStoreTest, ResultsCountAndAFullJournalTakesFailuresOnly) {
  auto options = files_.options();
  options.max_bytes = 100'000;
  open(options);
  store_->create(job_of("a", 10));
  int kept = 0;
  int refused = 0;
  while (const auto image = store_->claim()) {
    try {
      store_->finish(*image, std::string(30'000, 'r'), false);
      ++kept;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kLimitExceeded);
      EXPECT_NE(std::string(error.what()).find("of at most 100000; this result has 30000"),
                std::string::npos)
          << error.what();
      EXPECT_TRUE(store_->finish(*image, "full", true));
      ++refused;
    }
  }
  EXPECT_EQ(kept, 3);
  EXPECT_EQ(refused, 7);
  EXPECT_LE(store_->counts().bytes, 100'000U);
  expect_error(ErrorCode::kOverloaded, "of at most 100000",
               [&] { store_->create(job_of("a", 1, 10'000)); });
}

TEST_F(JobStoreTest, OneOwnersJobsLeaveRoomForAnothers) {
  auto options = files_.options();
  options.max_unfinished = 5;
  options.owner_share = 0.4;
  options.max_bytes = 100'000;
  open(options);
  const auto owned = [](const std::string& owner, std::size_t bytes = 0) {
    NewJob job = job_of("a", 1, bytes);
    job.owner = owner;
    return job;
  };
  const std::string first = store_->create(owned("x")).id;
  store_->create(owned("x"));
  expect_error(ErrorCode::kOverloaded, "2 of your jobs are unfinished already (at most 2)",
               [&] { store_->create(owned("x")); });
  store_->create(owned("y"));
  open(options);  // counted anew
  expect_error(ErrorCode::kOverloaded, "at most 2", [&] { store_->create(owned("x")); });
  store_->cancel(first);
  // Of what y leaves.
  expect_error(ErrorCode::kOverloaded, "bytes of yours of at most 39887",
               [&] { store_->create(owned("x", 40'000)); });
  store_->create(owned("x", 20'000));
  store_->create(owned("y", 20'000));
  expect_error(ErrorCode::kOverloaded, "5 jobs are unfinished already (at most 5)", [&] {
    store_->create(owned("z"));
    store_->create(owned("z"));
  });
  while (const auto image = store_->claim()) store_->finish(*image, "r", false);
  for (int i = 0; i < 2; ++i) store_->create(owned("x"));
  store_->sweep(std::chrono::system_clock::now() + std::chrono::hours(48));
  while (const auto image = store_->claim()) store_->finish(*image, "r", false);
  store_->sweep(std::chrono::system_clock::now() + std::chrono::hours(48));
  EXPECT_EQ(store_->counts().bytes, 0U);
}

TEST_F(JobStoreTest, SeveralOwnersTogetherLeaveRoomForTheNext) {
  auto options = files_.options();
  options.max_unfinished = 16;
  options.owner_share = 0.75;
  open(options);
  const auto take_all = [&](const std::string& owner) {
    NewJob job = job_of("a", 1);
    job.owner = owner;
    for (int count = 0;; ++count) {
      try {
        store_->create(job);
      } catch (const Error&) {
        return count;
      }
    }
  };
  EXPECT_EQ(take_all("x"), 12);
  EXPECT_EQ(take_all("y"), 2);  // up to the reserve
  EXPECT_EQ(take_all("z"), 1);
}

TEST_F(JobStoreTest, PagesThatAreNotFullCountToo) {
  auto options = files_.options();
  options.max_bytes = 1'000'000;
  options.max_unfinished = 1000;
  open(options);
  // One byte more than fits beside a row takes a page of its own.
  expect_error(ErrorCode::kOverloaded, "of at most 1000000", [&] {
    for (int i = 0; i < 300; ++i) store_->create(job_of("a", 1, 4'200));
  });
  store_.reset();
  EXPECT_LT(std::filesystem::file_size(options.file), 1'150'000U);
}

TEST_F(JobStoreTest, ItsFilesAreTheOwnersAlone) {
  open(files_.options());
  store_->create(job_of("a", 1, 10'000));
  int files = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(files_.options().file.parent_path())) {
    EXPECT_EQ(entry.status().permissions(),
              std::filesystem::perms::owner_read | std::filesystem::perms::owner_write)
        << entry.path();
    ++files;
  }
  EXPECT_GE(files, 2) << "the journal and its log";
}

TEST_F(JobStoreTest, DeletesWhatHasExpired) {
  auto options = files_.options();
  options.max_jobs = 4;
  options.retention = std::chrono::hours(1);
  open(options);
  std::vector<std::string> ids;
  for (int i = 0; i < 6; ++i) {
    ids.push_back(store_->create(job_of("a", 1)).id);
    if (i != 2) work(1);
    if (i == 2) store_->claim();
  }
  EXPECT_EQ(store_->sweep(), 2U) << "more than max_jobs";
  EXPECT_EQ(store_->find(ids[0]), std::nullopt);
  EXPECT_EQ(store_->find(ids[1]), std::nullopt);
  EXPECT_NE(store_->find(ids[3]), std::nullopt);
  EXPECT_EQ(store_->sweep(), 0U);
  EXPECT_EQ(store_->sweep(std::chrono::system_clock::now() + std::chrono::hours(2)), 3U);
  EXPECT_NE(store_->find(ids[2]), std::nullopt) << "unfinished jobs stay";
  EXPECT_EQ(store_->counts().running, 1);
  EXPECT_EQ(store_->counts().done, 0);
}

TEST_F(JobStoreTest, CountsByStatus) {
  open();
  store_->create(job_of("a", 1));
  store_->create(job_of("b", 2));
  store_->cancel(store_->create(job_of("c", 1)).id);
  work(1);
  store_->claim();
  store_->create(job_of("d", 1));
  const JobCounts counts = store_->counts();
  EXPECT_EQ(counts.queued, 1);
  EXPECT_EQ(counts.running, 1);
  EXPECT_EQ(counts.done, 1);
  EXPECT_EQ(counts.cancelled, 1);
}

TEST_F(JobStoreTest, TellsSubscribersAndStopsWhenTheyLeave) {
  open();
  const std::string id = store_->create(job_of("a", 4)).id;
  int calls = 0;
  int others = 0;
  Subscription subscription = store_->subscribe(id, [&] { ++calls; });
  const Subscription other = store_->subscribe("job_other", [&] { ++others; });
  work(1);
  EXPECT_GE(calls, 1);
  Subscription moved = std::move(subscription);
  const int before = calls;
  work(1);
  EXPECT_EQ(calls, before + 1);
  moved.reset();
  work(1);
  EXPECT_EQ(calls, before + 1);
  EXPECT_EQ(others, 0);
  // From within its own call, and with a store that is gone.
  Subscription own;
  own = store_->subscribe(id, [&] { own.reset(); });
  Subscription late = store_->subscribe(id, [] {});
  work(1);
  store_.reset();
}

TEST_F(JobStoreTest, SubscribersMayComeAndGoWhileResultsArrive) {
  open();
  const std::string id = store_->create(job_of("a", 200)).id;
  std::atomic<bool> stop = false;
  std::thread reader([&] {
    while (!stop) {
      std::atomic<int> calls = 0;
      const Subscription subscription = store_->subscribe(id, [&calls] { ++calls; });
      std::this_thread::yield();
    }
  });
  work(200);
  stop = true;
  reader.join();
}

TEST_F(JobStoreTest, IsHeldByOneProcess) {
  open();
  store_->create(job_of("a", 1));
  expect_error(ErrorCode::kUnavailable, "another process", [&] { JobStore(files_.options()); });
}

TEST_F(JobStoreTest, RefusesWhatIsNotItsJournal) {
  auto options = files_.options();
  options.file = files_.path() / "no such folder" / "jobs.sqlite";
  expect_error(ErrorCode::kNotFound, "no such folder", [&] { JobStore{options}; });
  options.file = files_.path() / "text";
  std::ofstream(options.file) << std::string(5000, 'x');
  expect_error(ErrorCode::kIo, "damaged", [&] { JobStore{options}; });
  options.file = files_.path() / "other";
  Database(options.file).execute("CREATE TABLE t(x)");
  expect_error(ErrorCode::kIo, "not a journal", [&] { JobStore{options}; });
  open();
  store_.reset();
  Database(files_.options().file).execute("PRAGMA user_version = 2");
  expect_error(ErrorCode::kIo, "version 2", [&] { open(); });
}

/// What an interrupted write leaves: every prefix of the log is a journal that says the truth.
TEST_F(JobStoreTest, ATornLogLosesOnlyItsTail) {
  open();
  const std::string id = store_->create(job_of("a", 12, 300)).id;
  work(12);
  const std::filesystem::path log = files_.options().file.string() + "-wal";
  std::ifstream in(log, std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  ASSERT_GT(whole.size(), 50'000U);
  const test::TemporaryFolder copies;
  auto options = files_.options();
  std::int64_t last = -1;
  int opened = 0;
  const std::size_t step = whole.size() / 60 | 1;  // odd: cuts fall anywhere in a page
  for (std::size_t size = 0; size <= whole.size(); size += step, ++opened) {
    options.file = copies.path() / ("copy" + std::to_string(opened));
    std::filesystem::copy_file(files_.options().file, options.file);
    std::string torn = whole.substr(0, size);
    if (opened % 2 == 1) torn += std::string(500, '\x5a');  // and garbage after it
    std::ofstream(options.file.string() + "-wal", std::ios::binary) << torn;
    JobStore store(options);
    const auto info = store.find(id);
    const std::int64_t events = info ? info->last_event : -1;
    EXPECT_GE(events, last);
    last = events;
    if (!info) continue;
    EXPECT_EQ(info->total, 12);
    std::int64_t results = 0;
    for (const ImageResult& image : store.results(id, 0, 1000).images) {
      if (image.state == ImageState::kWaiting) continue;
      ++results;
      EXPECT_EQ(image.result, "result of a source " + std::to_string(image.position));
    }
    EXPECT_EQ(results, events);
    std::int64_t left = 0;
    while (const auto image = store.claim()) {
      ++left;
      EXPECT_EQ(image->bytes.size(), 300U);
    }
    EXPECT_EQ(left, 12 - events);
  }
  EXPECT_GE(last, 11);
  EXPECT_GT(opened, 50);
}

TEST_F(JobStoreTest, AFullDiskIsACleanError) {
  open();
  const std::string id = store_->create(job_of("a", 3, 1000)).id;
  const auto image = store_->claim();
  {
    const auto log = std::filesystem::file_size(files_.options().file.string() + "-wal");
    const test::FullDisk full(log + 10'000);
    expect_error(ErrorCode::kIo, "jobs.sqlite", [&] { store_->create(job_of("b", 3, 100'000)); });
    EXPECT_EQ(store_->find(id)->total, 3);
    EXPECT_EQ(store_->counts().queued, 0);
    expect_error(ErrorCode::kIo, "jobs.sqlite",
                 [&] { store_->finish(*image, std::string(100'000, 'x'), false); });
    EXPECT_EQ(store_->find(id)->done, 0);
  }
  EXPECT_TRUE(store_->finish(*image, "result", false)) << "room again";
  work(2);
  EXPECT_EQ(store_->create(job_of("b", 3, 100'000)).total, 3);
  work(3);
  open();
  EXPECT_EQ(store_->find(id)->status, JobStatus::kDone);
  EXPECT_EQ(store_->counts().done, 2);
}

}  // namespace
}  // namespace itemcrop::jobs
