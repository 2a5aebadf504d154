#include "itemcrop/error.h"

#include <optional>
#include <type_traits>

#include <gtest/gtest.h>

namespace itemcrop {
namespace {

static_assert(std::is_nothrow_copy_constructible_v<Error>);

TEST(Error, HasNeitherFieldNorTimeUnlessGiven) {
  const Error error(ErrorCode::kIo, "the disk is full");
  EXPECT_EQ(error.field(), "");
  EXPECT_EQ(error.retry_after_seconds(), 0);
  EXPECT_STREQ(error.what(), "the disk is full");
}

TEST(Error, IsKeptAsAValueWithEverythingItSays) {
  std::optional<Error> kept;
  try {
    throw Error(ErrorCode::kOverloaded, "later", "items").with_retry_after(7);
  } catch (const Error& error) {
    kept = error;
  }
  EXPECT_EQ(kept->code(), ErrorCode::kOverloaded);
  EXPECT_STREQ(kept->what(), "later");
  EXPECT_EQ(kept->field(), "items");
  EXPECT_EQ(kept->retry_after_seconds(), 7);
}

TEST(Error, OfAFieldBeginsWithIt) {
  const Error error = invalid_field("items[2].count", "must be 1 or more, is 0");
  EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(error.field(), "items[2].count");
  EXPECT_STREQ(error.what(), "items[2].count must be 1 or more, is 0");
}

}  // namespace
}  // namespace itemcrop
