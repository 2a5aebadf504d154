#include "cli/progress.h"

#include <sstream>

#include <gtest/gtest.h>

namespace itemcrop::cli {
namespace {

TEST(ProgressLine, SaysHowFarAndHowLong) {
  EXPECT_EQ(progress_line(0, 64, 0), "[                        ] 0/64");
  EXPECT_EQ(progress_line(16, 64, 32), "[######                  ] 16/64  2.0 s/photo  1:36 left");
  EXPECT_EQ(progress_line(64, 64, 1280), "[########################] 64/64  20 s/photo  0:00 left");
}

TEST(TransferLine, SaysHowMuchAndHowFast) {
  EXPECT_EQ(transfer_line("a", 0, 10'000'000, 0, 1), "a [                        ] 0/10 MB");
  EXPECT_EQ(transfer_line("a", 5'000'000, 10'000'000, 0, 2),
            "a [############            ] 5/10 MB  2.5 MB/s  0:02 left");
  // What an earlier download left does not count for the speed.
  EXPECT_EQ(transfer_line("a", 7'500'000, 10'000'000, 5'000'000, 1),
            "a [##################      ] 8/10 MB  2.5 MB/s  0:01 left");
}

TEST(Progress, IsDrawnOnATerminalForSeveralPhotosOnly) {
  const auto drawn = [](bool terminal, std::size_t photos) {
    std::ostringstream out;
    Progress progress(out, terminal, photos);
    progress.advance();
    return out.str();
  };
  EXPECT_NE(drawn(true, 2).find("1/2"), std::string::npos);
  EXPECT_EQ(drawn(true, 1), "");
  EXPECT_EQ(drawn(false, 2), "");
}

TEST(Progress, TakesItsLineAway) {
  std::ostringstream out;
  { Progress progress(out, true, 5); }
  EXPECT_TRUE(out.str().ends_with("\r\x1b[K")) << out.str();
}

}  // namespace
}  // namespace itemcrop::cli
