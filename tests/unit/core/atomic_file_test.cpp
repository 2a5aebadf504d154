#include "core/atomic_file.h"

#include <csignal>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "itemcrop/error.h"

#include "support/temporary_folder.h"

namespace itemcrop {
namespace {

namespace fs = std::filesystem;

class AtomicFile : public ::testing::Test {
 protected:
  static std::string read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

  const test::TemporaryFolder temporary_;
  const fs::path folder_ = temporary_.path();
};

/// Lets no file of this process grow past `size`, as a full disk would; EFBIG instead of a signal.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t size) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{size, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST_F(AtomicFile, WritesAndReplaces) {
  const fs::path path = folder_ / "result.json";
  write_file_atomically(path, "first");
  EXPECT_EQ(read(path), "first");
  write_file_atomically(path, std::string(100'000, 'x'));
  EXPECT_EQ(read(path), std::string(100'000, 'x'));
  write_file_atomically(path, "");
  EXPECT_EQ(read(path), "");
  EXPECT_EQ(files(), 1U);
}

TEST_F(AtomicFile, FollowsTheUmask) {
  const mode_t before = ::umask(027);
  write_file_atomically(folder_ / "file", "x");
  ::umask(before);
  EXPECT_EQ(fs::status(folder_ / "file").permissions(), fs::perms(0640));
}

TEST_F(AtomicFile, TakesTheLongestName) {
  const fs::path path = folder_ / std::string(255, 'n');
  write_file_atomically(path, "x");
  EXPECT_EQ(read(path), "x");
}

TEST_F(AtomicFile, FullDiskLeavesTheOldFileAndNothingElse) {
  const fs::path path = folder_ / "crop.jpg";
  write_file_atomically(path, "old");
  const std::string large(100'000, 'x');
  for (const rlim_t room : {rlim_t{0}, rlim_t{1}, rlim_t{4096}, rlim_t{99'999}}) {
    const FileSizeLimit limit(room);
    try {
      write_file_atomically(path, large);
      FAIL() << "wrote past " << room;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kIo);
      EXPECT_NE(std::string(error.what()).find("crop.jpg"), std::string::npos);
    }
    EXPECT_EQ(read(path), "old");
    EXPECT_EQ(files(), 1U);
  }
  const FileSizeLimit limit(100'000);
  write_file_atomically(path, large);
  EXPECT_EQ(read(path), large);
}

TEST_F(AtomicFile, FailedRenameLeavesNothing) {
  fs::create_directories(folder_ / "taken" / "inside");
  try {
    write_file_atomically(folder_ / "taken", "x");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
  }
  EXPECT_EQ(files(), 1U);
}

TEST_F(AtomicFile, MissingFolderIsNotFound) {
  try {
    write_file_atomically(folder_ / "absent" / "file", "x");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_NE(std::string(error.what()).find("absent"), std::string::npos);
  }
}

TEST_F(AtomicFile, ReplacesALinkRatherThanItsTarget) {
  write_file_atomically(folder_ / "target", "kept");
  fs::create_symlink(folder_ / "target", folder_ / "link");
  write_file_atomically(folder_ / "link", "new");
  EXPECT_EQ(read(folder_ / "target"), "kept");
  EXPECT_FALSE(fs::is_symlink(folder_ / "link"));
}

}  // namespace
}  // namespace itemcrop
