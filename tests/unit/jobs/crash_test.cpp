// threats.md, "kill -9": a process that runs jobs is killed at random moments, again and again.
// What it said it took is never lost, what has a result never runs again, and the final results are
// those of an uninterrupted run. ITEMCROP_JOB_KILLS says how often (default 100).
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "job_fixture.h"
#include "jobs/job_runner.h"
#include "jobs/sqlite.h"

namespace itemcrop::jobs {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kConcurrency = 3;

std::size_t hash_of(const JobImage& image) {
  return std::hash<std::string>()(*image.options + image.owner + image.id + image.source +
                                  image.bytes);
}

/// What an uninterrupted run gives; it depends on all that the journal keeps of an image.
std::string result_of(const JobImage& image) {
  return image.source + " is " + std::to_string(hash_of(image));
}
bool fails(const JobImage& image) { return hash_of(image) % 7 == 0; }

NewJob make_job(const std::string& name) {
  const std::size_t seed = std::hash<std::string>()(name);
  return test::job_of(name, static_cast<int>(1 + seed % 40), seed % 3 == 0 ? 0 : seed % 9000);
}

/// The same image as the journal should hand it out.
JobImage expected_image(const std::string& name, std::int64_t position) {
  const NewJob job = make_job(name);
  const NewImage& image = job.images.at(static_cast<std::size_t>(position));
  JobImage expected;
  expected.options = std::make_shared<const std::string>(job.options);
  expected.owner = job.owner;
  expected.id = image.id;
  expected.source = image.source;
  expected.bytes = image.bytes;
  return expected;
}

/// Lines that survive the writer's death.
class Diary {
 public:
  explicit Diary(const std::filesystem::path& path)
      : file_(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) {}
  ~Diary() { ::close(file_); }
  Diary(const Diary&) = delete;
  Diary& operator=(const Diary&) = delete;

  void write(const std::string& line) const {
    if (::write(file_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) ::_exit(9);
  }

 private:
  int file_;
};

/// The process that is killed: creates jobs and runs them for ever.
[[noreturn]] void live(const JobStoreOptions& options, const std::filesystem::path& diary_path,
                       int life) {
  try {
    const Diary diary(diary_path);
    const auto store = std::make_shared<JobStore>(options);
    const JobRunner runner(
        store,
        [&](const JobImage& image, std::stop_token, const Completion& done) {
          diary.write("begin " + image.job_id + " " + std::to_string(image.position) + "\n");
          std::this_thread::sleep_for(std::chrono::microseconds(hash_of(image) % 500));
          done(result_of(image), fails(image));
        },
        {.concurrency = kConcurrency});
    for (int job = 0;; ++job) {
      const JobCounts counts = store->counts();
      if (counts.queued + counts.running < 4) {
        const std::string name = std::to_string(life) + "-" + std::to_string(job);
        diary.write("took " + store->create(make_job(name)).id + " " + name + "\n");
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  } catch (const std::exception& error) {
    Diary(diary_path).write(std::string("error ") + error.what() + "\n");
    ::_exit(8);
  }
}

struct Known {
  std::string name;
  std::map<std::int64_t, std::string> results;  ///< by position
  std::int64_t last_event = 0;
  bool finished = false;
};

class Crash : public ::testing::Test {
 protected:
  /// Reads a job back and compares it with what is known of it and with what it must be.
  void check(JobStore& store, const std::string& id, Known& known) {
    const NewJob expected = make_job(known.name);
    const ResultsPage page = store.results(id, 0, 1000);
    ASSERT_EQ(page.images.size(), expected.images.size()) << known.name;
    std::int64_t results = 0;
    for (const ImageResult& image : page.images) {
      const auto before = known.results.find(image.position);
      if (image.state == ImageState::kWaiting) {
        EXPECT_EQ(before, known.results.end()) << "a committed result is gone";
        continue;
      }
      ++results;
      const JobImage original = expected_image(known.name, image.position);
      EXPECT_EQ(image.result, result_of(original));
      EXPECT_EQ(image.state, fails(original) ? ImageState::kFailed : ImageState::kDone);
      known.results[image.position] = image.result;
    }
    EXPECT_EQ(page.job.last_event, results);
    EXPECT_EQ(page.job.finished_for_good(), results == page.job.total);
    EXPECT_GE(page.job.last_event, known.last_event);
    known.last_event = page.job.last_event;
    known.finished = page.job.finished_for_good();
  }

  /// Events of a finished job: each image once, numbered without a gap.
  void check_events(JobStore& store, const std::string& id) {
    const EventsPage page = store.events(id, 0, 1000);
    EXPECT_TRUE(page.complete);
    std::set<std::int64_t> positions;
    std::int64_t sequence = 0;
    std::int64_t done = 0;
    for (const JobEvent& event : page.events) {
      EXPECT_EQ(event.sequence, ++sequence);
      done += event.image.state == ImageState::kDone ? 1 : 0;
      EXPECT_EQ(event.done, done);
      EXPECT_EQ(event.done + event.failed, sequence);
      positions.insert(event.image.position);
    }
    EXPECT_EQ(static_cast<std::int64_t>(positions.size()), page.job.total);
  }

  test::JobFixture files_;
  std::map<std::string, Known> jobs_;
};

TEST_F(Crash, KilledAtAnyMomentItLosesAndRepeatsNothing) {
  const char* wanted = std::getenv("ITEMCROP_JOB_KILLS");
  const int kills = wanted != nullptr ? std::atoi(wanted) : 100;
  ASSERT_GT(kills, 0);
  JobStoreOptions options = files_.options();
  options.max_jobs = 1'000'000;
  std::mt19937 random(20'240'601);
  int begun = 0;
  for (int life = 0; life < kills; ++life) {
    const std::filesystem::path diary = files_.path() / ("diary" + std::to_string(life));
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) live(options, diary, life);
    // Some die while they open the journal, most in the middle of their work.
    const auto lifetime =
        std::chrono::microseconds(random() % 4 == 0 ? random() % 4'000 : random() % 50'000);
    std::this_thread::sleep_for(lifetime);
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "it ended by itself: " << std::ifstream(diary).rdbuf();

    std::ifstream lines(diary);
    std::string line;
    while (std::getline(lines, line)) {
      if (lines.eof()) break;  // an unfinished line
      std::istringstream words(line);
      std::string verb;
      std::string id;
      words >> verb >> id;
      if (verb == "took") {
        words >> jobs_[id].name;
      } else if (verb == "begin") {
        std::int64_t position = 0;
        words >> position;
        ++begun;
        const auto job = jobs_.find(id);
        if (job == jobs_.end()) continue;  // of this life: nothing was known of it
        EXPECT_FALSE(job->second.results.contains(position)) << "run again in spite of a result";
      } else {
        ADD_FAILURE() << line;
      }
    }
    std::filesystem::remove(diary);
    if (life % 4 == 3) continue;  // two kills in a row without a clean opening between
    JobStore store(options);
    for (auto& [id, known] : jobs_) {
      if (!known.finished) check(store, id, known);
    }
    ASSERT_FALSE(HasFailure()) << "after kill " << life;
  }

  // The last start finishes everything, also jobs that were committed and not yet answered for.
  {
    const auto store = std::make_shared<JobStore>(options);
    JobRunner runner(store, [&](const JobImage& image, std::stop_token, const Completion& done) {
      ++begun;
      done(result_of(image), fails(image));
    });
    const auto deadline = Clock::now() + std::chrono::seconds(20);
    for (JobCounts counts = store->counts(); counts.queued + counts.running != 0;
         counts = store->counts()) {
      ASSERT_LT(Clock::now(), deadline);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_TRUE(runner.drain(deadline));
    std::size_t images = 0;
    for (auto& [id, known] : jobs_) {
      check(*store, id, known);
      check_events(*store, id);
      EXPECT_TRUE(known.finished);
      images += known.results.size();
    }
    std::printf("%d kills, %zu jobs, %zu images, %d begun\n", kills, jobs_.size(), images, begun);
    EXPECT_GT(jobs_.size(), static_cast<std::size_t>(kills) / 10);
  }
  Database database(options.file);
  Query check = database.query("PRAGMA integrity_check");
  ASSERT_TRUE(check.row());
  EXPECT_EQ(check.text(0), "ok");
  EXPECT_EQ(database.integer("SELECT count(*) FROM pictures"), 0) << "inline images left behind";
  // What was in hand at a kill begins again, and nothing else. (Jobs whose creator died before it
  // could say so count too.)
  EXPECT_LE(begun, database.integer("SELECT count(*) FROM images") + kConcurrency * kills);
}

}  // namespace
}  // namespace itemcrop::jobs
