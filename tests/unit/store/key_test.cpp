#include "store/key.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace itemcrop::store {
namespace {

TEST(Key, IsSlugsAndSlashes) {
  for (const char* key : {"a", "a.jpg", "2024/05/navy-blazer_01.jpg", "A/b.c-d_e", "a..b"}) {
    EXPECT_TRUE(is_key(key)) << key;
  }
  for (const char* key : {"",         "/",    "/a",  "a/",   "a//b", ".",     "..",   "../a",
                          "a/../b",   "a/..", ".a",  "a/.b", "a b",  "a%2fb", "a\\b", "a\nb",
                          "\xc3\xa5", "a?b",  "a#b", "~a",   "C:a",  "a;b"}) {
    EXPECT_FALSE(is_key(key)) << key;
    test::expect_error(ErrorCode::kInvalidArgument, "key must be", [&] { check_key(key); });
  }
  EXPECT_FALSE(is_key(std::string_view("a\0b", 3)));
  EXPECT_TRUE(is_key(std::string(255, 'a')));
  EXPECT_FALSE(is_key(std::string(256, 'a')));
  const std::string half(255, 'a');
  EXPECT_TRUE(is_key(half + "/" + half + "/" + half + "/" + std::string(132, 'a')));
  EXPECT_FALSE(is_key(half + "/" + half + "/" + half + "/" + std::string(133, 'a')));
}

TEST(ContentTypeOf, GoesByTheEnding) {
  EXPECT_EQ(content_type_of("a/b.jpg"), "image/jpeg");
  EXPECT_EQ(content_type_of("b.webp"), "image/webp");
  EXPECT_EQ(content_type_of("b.html"), "application/octet-stream");
  EXPECT_EQ(content_type_of("jpg"), "application/octet-stream");
}

}  // namespace
}  // namespace itemcrop::store
