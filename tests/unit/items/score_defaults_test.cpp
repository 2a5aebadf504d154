#include "items/score_defaults.h"

#include <gtest/gtest.h>

#include "items/scoring.h"
#include "support/expect_error.h"

namespace itemcrop::items {
namespace {

TEST(ScoreDefaults, AreThoseOfTheFamily) {
  EXPECT_FLOAT_EQ(score_defaults("grounding-dino").threshold, 0.25F);
  EXPECT_FLOAT_EQ(score_defaults("grounding-dino").text_threshold, 0.25F);
  EXPECT_FLOAT_EQ(score_defaults("mm-grounding-dino").threshold, 0.4F);
  EXPECT_FLOAT_EQ(score_defaults("mm-grounding-dino").text_threshold, 0.3F);
  EXPECT_FLOAT_EQ(score_defaults("another").threshold, 0.25F);
}

TEST(ScoreDefaults, AThresholdThatIsGivenIsChecked) {
  EXPECT_NO_THROW(check_scoring({}));
  ScoringOptions options;
  options.threshold = 1.5F;
  test::expect_error(ErrorCode::kInvalidArgument, "threshold", [&] { check_scoring(options); });
}

}  // namespace
}  // namespace itemcrop::items
