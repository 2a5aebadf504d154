#include "engine/request_groups.h"

#include <gtest/gtest.h>

namespace itemcrop::engine {
namespace {

RequestInput request(std::int64_t cells, std::size_t passes) {
  RequestInput input;
  input.cells = cells;
  input.passes.resize(passes);
  for (PassInput& pass : input.passes) pass.prompt.ids = {101, 1012, 102};
  return input;
}

TEST(PlanGroups, KeepsImagesTogetherWithinTheBudget) {
  const std::vector<RequestInput> requests{request(40, 1), request(60, 1), request(1, 1)};
  const std::vector<RequestGroup> groups = group_requests(requests, 100);
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(groups[0].images.size(), 2U);
  EXPECT_EQ(groups[1].first_request, 2U);
  ASSERT_EQ(groups[0].runs.size(), 1U);
  EXPECT_EQ(groups[0].runs[0].images, (std::vector<int>{0, 1}));
}

TEST(PlanGroups, RunsAnImageLargerThanTheBudgetAlone) {
  const std::vector<RequestInput> requests{request(500, 1), request(1, 1)};
  EXPECT_EQ(group_requests(requests, 100).size(), 2U);
}

TEST(PlanGroups, SplitsPassesOfOneImageWithoutRepeatingItsBackbone) {
  const std::vector<RequestInput> requests{request(40, 5)};
  const std::vector<RequestGroup> groups = group_requests(requests, 100);
  ASSERT_EQ(groups.size(), 1U);
  EXPECT_EQ(groups[0].images.size(), 1U);
  ASSERT_EQ(groups[0].runs.size(), 3U);
  std::vector<const PassInput*> order;
  for (const RequestGroup::SampleRun& run : groups[0].runs) {
    EXPECT_LE(run.passes.size(), 2U);
    order.insert(order.end(), run.passes.begin(), run.passes.end());
  }
  ASSERT_EQ(order.size(), 5U);
  for (std::size_t p = 0; p < order.size(); ++p) EXPECT_EQ(order[p], &requests[0].passes[p]);
}

TEST(JoinPasses, LaysPromptsEndToEnd) {
  PassInput first;
  first.prompt.ids = {101, 7, 102};
  first.prompt.positions = {0, 1, 0};
  first.prompt.blocks = {0, 1, 2};
  PassInput second;
  second.prompt.ids = {101, 102};
  second.prompt.positions = {0, 0};
  second.prompt.blocks = {0, 1};
  const std::vector<const PassInput*> passes{&first, &second};
  const model::TextInput text = join_passes(passes);
  EXPECT_EQ(text.ids, (std::vector<std::int32_t>{101, 7, 102, 101, 102}));
  EXPECT_EQ(text.positions, (std::vector<std::int32_t>{0, 1, 0, 0, 0}));
  ASSERT_EQ(text.segments.size(), 2U);
  EXPECT_EQ(text.segments[1].begin, 3);
  EXPECT_EQ(text.segments[1].rows, 2);
}

}  // namespace
}  // namespace itemcrop::engine
