#include "core/words.h"

#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace itemcrop {
namespace {

TEST(Closest, FindsTyposAndNothingElse) {
  const std::vector<std::string> known = {"--items", "--item", "--threshold", "--quality"};
  EXPECT_EQ(closest("--itmes", known), "--items") << "swapped letters are one step";
  EXPECT_EQ(closest("--treshold", known), "--threshold");
  EXPECT_EQ(closest("--THRESHOLD", known), "--threshold");
  EXPECT_EQ(closest("--completely-other", known), std::nullopt);
  EXPECT_EQ(closest(std::string(5000, 'x'), known), std::nullopt);
  EXPECT_EQ(closest("x", std::vector<std::string>{}), std::nullopt);
}

TEST(Join, SeparatesWords) {
  EXPECT_EQ(join(std::vector<std::string>{}), "");
  EXPECT_EQ(join(std::vector<std::string>{"a", "b"}, "|"), "a|b");
}

}  // namespace
}  // namespace itemcrop
