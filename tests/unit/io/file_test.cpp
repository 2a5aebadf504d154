#include "io/file.h"

#include <string>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace itemcrop::io {
namespace {

using test::expect_error;

TEST(ReadFile, ReturnsEveryByteUpToTheLimit) {
  const test::TemporaryFolder folder;
  const std::string text("a\0b\r\n\xFF", 6);
  const auto file = folder.write("file", text);
  EXPECT_EQ(read_file(file, 6), text);
  expect_error(ErrorCode::kLimitExceeded, "6 bytes, the limit is 5", [&] { read_file(file, 5); });
  EXPECT_EQ(read_file(folder.write("empty", ""), 0), "");
}

TEST(ReadFile, RefusesWhatIsNotAFile) {
  const test::TemporaryFolder folder;
  expect_error(ErrorCode::kNotFound, "absent", [&] { read_file(folder.path() / "absent", 9); });
  expect_error(ErrorCode::kNotFound, "not a regular file", [&] { read_file(folder.path(), 9); });
  const std::string pipe = (folder.path() / "pipe").string();
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  expect_error(ErrorCode::kNotFound, "not a regular file", [&] { read_file(pipe, 9); });
}

TEST(MappedFile, KeepsItsBytesWhenMovedAndReleased) {
  const test::TemporaryFolder folder;
  const std::string text(100'000, 'x');
  MappedFile first(folder.write("file", text));
  const MappedFile second(std::move(first));
  ASSERT_EQ(second.bytes().size(), text.size());
  second.release(second.bytes());
  second.release(second.bytes().subspan(1, 1));
  EXPECT_EQ(second.bytes()[99'999], std::byte{'x'});
}

}  // namespace
}  // namespace itemcrop::io
