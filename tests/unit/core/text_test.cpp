#include <array>

#include <gtest/gtest.h>

#include "core/ascii.h"
#include "core/hexadecimal.h"

namespace itemcrop {
namespace {

TEST(Tidy, TrimsAndJoinsWhiteSpace) {
  EXPECT_EQ(tidy("  navy \t blazer\n"), "navy blazer");
  EXPECT_EQ(tidy(" \t\n"), "");
}

TEST(Lower, KnowsLettersOfAsciiOnly) {
  EXPECT_EQ(lower("Caf\xc3\x89 @Z[`"), "caf\xc3\x89 @z[`");
  EXPECT_TRUE(same_word("Content-Type", "content-TYPE"));
  EXPECT_FALSE(same_word("Content-Type", "Content-Typ"));
  EXPECT_FALSE(same_word("@", "`")) << "one bit apart, as letters are";
}

TEST(Hexadecimal, WritesTwoDigitsAByte) {
  constexpr std::array bytes = {std::byte{0}, std::byte{0x0f}, std::byte{0xa5}, std::byte{0xff}};
  EXPECT_EQ(hexadecimal(bytes), "000fa5ff");
  EXPECT_EQ(hexadecimal({}), "");
}

TEST(Hexadecimal, RandomNamesDiffer) {
  const std::string one = random_hexadecimal(16);
  EXPECT_EQ(one.size(), 32U);
  EXPECT_EQ(one.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_NE(one, random_hexadecimal(16));
}

}  // namespace
}  // namespace itemcrop
