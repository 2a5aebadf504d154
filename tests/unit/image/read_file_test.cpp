#include <filesystem>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "image/decode.h"
#include "support/temporary_folder.h"
#include "unit/image/test_images.h"

namespace itemcrop::image {
namespace {

using namespace testing;
namespace fs = std::filesystem;

class ReadFile : public ::testing::Test {
 protected:
  fs::path write(const std::string& name, const File& bytes) const {
    std::ofstream(folder_ / name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    return folder_ / name;
  }

  const test::TemporaryFolder temporary_;
  const fs::path folder_ = temporary_.path();
};

TEST_F(ReadFile, ReadsWholeFilesUpToTheLimit) {
  const File bytes = bytes_of("0123456789");
  const fs::path path = write("ten", bytes);
  EXPECT_EQ(read_file(path, 10), bytes);
  EXPECT_EQ(error_code([&] { read_file(path, 9); }), ErrorCode::kLimitExceeded);
  EXPECT_EQ(read_file(write("empty", {}), 0), File());
}

TEST_F(ReadFile, ReadsPipesAndStopsEndlessOnes) {
  const fs::path pipe = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const File bytes(300'000, std::byte{7});
  std::thread writer([&] {
    std::ofstream(pipe, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  });
  EXPECT_EQ(read_file(pipe, 300'000), bytes);
  writer.join();
  EXPECT_EQ(error_code([] { read_file("/dev/zero", 1'000'000); }), ErrorCode::kLimitExceeded);
}

TEST_F(ReadFile, NamesWhatIsMissing) {
  try {
    read_file(folder_ / "absent.jpg", 10);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_NE(std::string(error.what()).find("absent.jpg"), std::string::npos);
  }
  EXPECT_EQ(error_code([&] { read_file(folder_, 10); }), ErrorCode::kInvalidArgument);
}

TEST_F(ReadFile, DecodeFileLooksAtContentAndNamesThePath) {
  const Pattern pattern = make_pattern(20, 10);
  EXPECT_EQ(decode_file(write("image.svg", save(pattern, ".png"))).width(), 20);
  const fs::path wrong = write("image.png", bytes_of("<svg/>"));
  try {
    decode_file(wrong);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupportedImage);
    EXPECT_NE(std::string(error.what()).find("image.png"), std::string::npos);
  }
}

}  // namespace
}  // namespace itemcrop::image
