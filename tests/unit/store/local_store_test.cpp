#include "store/local_store.h"

#include <cerrno>
#include <csignal>
#include <fstream>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include "failing_disk.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace itemcrop::store {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using test::expect_error;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string content_of(const StoredFile& file) {
  std::string text(file.size, '\0');
  EXPECT_EQ(::read(file.file.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  return text;
}

class LocalStoreTest : public ::testing::Test {
 protected:
  LocalStoreOptions options() const { return {.folder = folder_.path() / "crops"}; }

  std::size_t files() const {
    std::size_t count = 0;
    for (const auto& entry : fs::recursive_directory_iterator(folder_.path())) {
      count += entry.is_regular_file() ? 1 : 0;
    }
    return count;
  }

  test::TemporaryFolder folder_;
};

TEST_F(LocalStoreTest, KeepsAndOpens) {
  LocalStoreOptions wanted = options();
  wanted.public_url = "https://crops.example/files/";
  LocalStore store(wanted);
  EXPECT_EQ(store.put("a/b/c.jpg", bytes_of("one"), "image/jpeg"),
            "https://crops.example/files/a/b/c.jpg");
  auto file = store.open("a/b/c.jpg");
  ASSERT_TRUE(file);
  EXPECT_EQ(content_of(*file), "one");
  EXPECT_EQ(file->content_type, "image/jpeg");
  EXPECT_GT(file->modified, 0);

  store.put("a/b/c.jpg", bytes_of("other"), "image/jpeg");
  EXPECT_EQ(content_of(*store.open("a/b/c.jpg")), "other");
  EXPECT_EQ(files(), 1U);
  store.check();
  EXPECT_EQ(files(), 1U);
}

TEST_F(LocalStoreTest, OpensNothingElse) {
  folder_.write("secret.txt", "secret");
  LocalStore store(options());
  store.put("dir/a.jpg", bytes_of("x"), "image/jpeg");
  fs::create_symlink("../secret.txt", folder_.path() / "crops/link.jpg");
  fs::create_directory_symlink("..", folder_.path() / "crops/up");
  ASSERT_EQ(::mkfifo((folder_.path() / "crops/pipe.jpg").c_str(), 0600), 0);
  std::ofstream(folder_.path() / "crops/.hidden") << "x";
  for (const char* key : {"missing.jpg", "../secret.txt", "dir/../../secret.txt", "/etc/passwd",
                          "link.jpg", "up/secret.txt", "dir", "pipe.jpg", ".hidden", "", "dir/",
                          "dir/a.jpg/x", "..%2fsecret.txt"}) {
    EXPECT_EQ(store.open(key), nullptr) << key;
  }
  expect_error(ErrorCode::kInvalidArgument, "key must be",
               [&] { store.put("../x", bytes_of("x"), ""); });
  EXPECT_NE(store.open("dir/a.jpg"), nullptr);
}

TEST_F(LocalStoreTest, AFailingDiskLeavesNoPartialFile) {
  LocalStore store(options());
  const std::string before(5000, 'a');
  const std::string after(5000, 'b');
  for (const int error : {ENOSPC, EIO}) {
    int nth = 1;
    for (bool failed = true; failed; ++nth) {
      store.put("a.jpg", bytes_of(before), "image/jpeg");
      ASSERT_EQ(files(), 1U);
      {
        const test::FailingDisk disk(nth, error);
        try {
          store.put("a.jpg", bytes_of(after), "image/jpeg");
        } catch (const Error& problem) {
          EXPECT_EQ(problem.code(), ErrorCode::kIo);
        }
        failed = disk.failed();
      }
      EXPECT_EQ(files(), 1U) << "call " << nth;
      const std::string kept = content_of(*store.open("a.jpg"));
      EXPECT_TRUE(kept == before || kept == after) << "call " << nth;
      // Only the last step, flushing the folder, comes after the file is in its place.
      if (failed && nth <= 7) {
        EXPECT_EQ(kept, before) << "call " << nth;
      }
    }
    EXPECT_EQ(nth, 10);  // five writes, two flushes and a rename fail in turn; then nothing
  }
}

TEST_F(LocalStoreTest, AFullQuotaLeavesNoPartialFile) {
  LocalStore store(options());
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  rlimit small = old;
  small.rlim_cur = 10'000;
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string big(10'001, 'x');
  expect_error(ErrorCode::kIo, "cannot write", [&] { store.put("a.jpg", bytes_of(big), ""); });
  store.put("b.jpg", bytes_of(big).first(10'000), "");
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(store.open("a.jpg"), nullptr);
  EXPECT_EQ(files(), 1U);
}

TEST_F(LocalStoreTest, CheckSaysWhatIsWrong) {
  LocalStoreOptions wanted = options();
  wanted.min_free_bytes = std::uint64_t{1} << 62;
  LocalStore crowded(wanted);
  expect_error(ErrorCode::kIo, "min_free_bytes", [&] { crowded.check(); });
  LocalStore store(options());
  fs::remove_all(folder_.path() / "crops");
  expect_error(ErrorCode::kIo, "store: cannot see folder", [&] { store.check(); });
  folder_.write("file", "");
  expect_error(ErrorCode::kIo, "cannot create folder",
               [&] { LocalStore({.folder = folder_.path() / "file/x"}); });
}

TEST_F(LocalStoreTest, SweepsByAgeAndSize) {
  LocalStoreOptions wanted = options();
  wanted.max_age = 1h;
  wanted.max_bytes = 250;
  LocalStore store(wanted);
  const auto now = fs::file_time_type::clock::now();
  const auto put = [&](const std::string& key, std::chrono::minutes age) {
    store.put(key, bytes_of(std::string(100, 'x')), "");
    fs::last_write_time(wanted.folder / key, now - age);
  };
  put("old/a.jpg", 61min);
  put("b.jpg", 30min);
  put("c.jpg", 20min);
  put("d.jpg", 10min);
  std::ofstream(wanted.folder / ".itemcrop-1.tmp") << "left behind";
  fs::last_write_time(wanted.folder / ".itemcrop-1.tmp", now - 2h);
  std::ofstream(wanted.folder / ".itemcrop-2.tmp") << "";
  const SweepReport report = store.sweep(now);
  EXPECT_EQ(report.files_removed, 3U);
  EXPECT_EQ(report.files_kept, 3U);
  EXPECT_EQ(report.bytes_kept, 200U);
  EXPECT_FALSE(fs::exists(wanted.folder / "old"));
  EXPECT_FALSE(store.open("b.jpg"));
  EXPECT_TRUE(store.open("c.jpg"));
  EXPECT_TRUE(store.open("d.jpg"));
  EXPECT_TRUE(fs::exists(wanted.folder / ".itemcrop-2.tmp"));
  put("old/again.jpg", 0min);

  LocalStoreOptions unlimited = options();
  EXPECT_EQ(LocalStore(unlimited).sweep(now + 1000h).files_removed, 1U) << "the temporary file";
}

TEST_F(LocalStoreTest, PutsAndSweepsAtOnce) {
  LocalStoreOptions wanted = options();
  wanted.max_bytes = 100;
  LocalStore store(wanted);
  std::vector<std::jthread> threads;
  std::atomic<int> running = 4;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        store.put("d" + std::to_string(i % 3) + "/" + std::to_string(t) + ".jpg",
                  bytes_of("0123456789"), "");
      }
      --running;
    });
  }
  while (running > 0) store.sweep();
  threads.clear();
  EXPECT_LE(store.sweep().bytes_kept, 100U);
}

}  // namespace
}  // namespace itemcrop::store
