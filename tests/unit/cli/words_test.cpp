#include "cli/words.h"

#include <gtest/gtest.h>

#include "cli/table.h"

namespace itemcrop::cli {
namespace {

TEST(Printable, TakesTheTeethOutOfTerminalCodes) {
  EXPECT_EQ(printable("a\x1b[31mb\n\x7f"), "a?[31mb??");
  EXPECT_EQ(printable("caf\xc3\xa9"), "caf\xc3\xa9");
}

TEST(Fixed, PrintsDecimals) {
  EXPECT_EQ(fixed(0.125, 2), "0.12");
  EXPECT_EQ(fixed(-3, 1), "-3.0");
}

TEST(Table, AlignsValues) {
  EXPECT_EQ(two_columns({{"A", "1"}, {"Long", "2"}}), "A     1\nLong  2\n");
  EXPECT_EQ(with_thousands(26581234), "26,581,234");
  EXPECT_EQ(with_thousands(999), "999");
  EXPECT_EQ(with_thousands(-1000), "-1,000");
}

}  // namespace
}  // namespace itemcrop::cli
