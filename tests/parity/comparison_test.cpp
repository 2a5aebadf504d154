#include "parity/comparison.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include <gtest/gtest.h>

namespace itemcrop::test {
namespace {

StageGolden small_golden() {
  return {.rows = 2, .cols = 2, .mean = 2.5, .rms = 2.7386, .values = {1, 2, 3, 4}};
}

TEST(CompareStage, EqualValuesHaveNoError) {
  const StageError error = compare_stage("swin.stage1", small_golden(), {2, 2, {1, 2, 3, 4}}, {});
  EXPECT_EQ(error.relative, 0);
  EXPECT_EQ(error.compared, 4);
}

TEST(CompareStage, OneWrongElementShows) {
  const StageError error = compare_stage("swin.stage1", small_golden(), {2, 2, {1, 2, 3, 5}}, {});
  EXPECT_NEAR(error.relative, 1 / 5.477, 1e-3);
  EXPECT_EQ(error.largest, 1);
}

TEST(CompareStage, NanNeverPasses) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const StageError error = compare_stage("swin.stage1", small_golden(), {2, 2, {1, 2, 3, nan}}, {});
  EXPECT_FALSE(error.relative <= 1e9);
  EXPECT_FALSE(error.largest <= 1e9);
}

TEST(CompareStage, NanOutsideTheSamplesShowsInTheMoments) {
  StageGolden golden = small_golden();
  golden.rows = 1000;
  golden.values.assign(256, 1.0F);
  StageValues engine{1000, 2, std::vector<float>(2000, 1.0F)};
  const std::vector<std::int64_t> sampled = sample_indices("swin.stage1", 2000);
  std::int64_t unsampled = 0;
  while (std::ranges::find(sampled, unsampled) != sampled.end()) ++unsampled;
  engine.values[static_cast<std::size_t>(unsampled)] = std::numeric_limits<float>::quiet_NaN();
  const StageError error = compare_stage("swin.stage1", golden, engine, {});
  EXPECT_EQ(error.relative, 0);
  EXPECT_FALSE(error.mean <= 1e9);
}

TEST(CompareStage, OtherShapesThrow) {
  EXPECT_THROW(compare_stage("swin.stage1", small_golden(), {1, 4, {1, 2, 3, 4}}, {}),
               std::runtime_error);
}

TEST(CompareStage, LeavesOutRanksThatHoldAnotherProposal) {
  const QueryMatch match = match_queries({7, 9}, {2, 1, {7, 8}});
  EXPECT_EQ(match.same_ranks, 1);
  EXPECT_EQ(match.common, 1);
  const StageError error = compare_stage("logits", small_golden(), {2, 2, {1, 2, 90, 90}}, match);
  EXPECT_EQ(error.relative, 0);
  EXPECT_EQ(error.compared, 2);
}

TEST(MatchQueries, CountsSwappedProposalsAsCommonOnly) {
  const QueryMatch match = match_queries({7, 9, 11}, {3, 1, {9, 7, 11}});
  EXPECT_EQ(match.common, 3);
  EXPECT_EQ(match.same_ranks, 1);
}

TEST(LoadCase, MissingGoldenThrows) {
  EXPECT_THROW(load_case("micro/no_such_case"), std::runtime_error);
}

}  // namespace
}  // namespace itemcrop::test
