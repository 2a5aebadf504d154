#include "items/suppression.h"

#include <vector>

#include <gtest/gtest.h>

namespace itemcrop::items {
namespace {

using Kept = std::vector<std::size_t>;

TEST(IntersectionOverUnion, IsTheSharedPartOfTheUnion) {
  const Box a{0, 0, 10, 10};
  EXPECT_FLOAT_EQ(intersection_over_union(a, a), 1.0F);
  EXPECT_FLOAT_EQ(intersection_over_union(a, {5, 0, 15, 10}), 50.0F / 150.0F);
  EXPECT_FLOAT_EQ(intersection_over_union(a, {10, 0, 20, 10}), 0.0F) << "touching is not overlap";
  EXPECT_FLOAT_EQ(intersection_over_union(a, {20, 20, 30, 30}), 0.0F)
      << "two negative sides must not make a positive area";
  EXPECT_FLOAT_EQ(intersection_over_union({3, 3, 3, 3}, {3, 3, 3, 3}), 0.0F);
}

TEST(ContainedShare, IsRelativeToTheInnerBox) {
  const Box whole{0, 0, 100, 100};
  EXPECT_FLOAT_EQ(contained_share({10, 10, 20, 20}, whole), 1.0F);
  EXPECT_FLOAT_EQ(contained_share(whole, {10, 10, 20, 20}), 0.01F);
  EXPECT_FLOAT_EQ(contained_share({-5, 0, 5, 10}, whole), 0.5F);
  EXPECT_FLOAT_EQ(contained_share({5, 5, 5, 9}, whole), 0.0F);
}

TEST(Suppress, KeepsTheFirstOfOverlappingBoxes) {
  const std::vector<Box> boxes = {{0, 0, 10, 10}, {1, 0, 11, 10}, {30, 0, 40, 10}};
  EXPECT_EQ(suppress(boxes, 0.5F, 1.0F), (Kept{0, 2}));
}

TEST(Suppress, TheLimitItselfIsKept) {
  const std::vector<Box> boxes = {{0, 0, 10, 10}, {5, 0, 15, 10}};  // IoU 1/3, half contained
  EXPECT_EQ(suppress(boxes, 1.0F / 3.0F, 0.5F), (Kept{0, 1}));
  EXPECT_EQ(suppress(boxes, 0.33F, 0.5F), (Kept{0}));
  EXPECT_EQ(suppress(boxes, 1.0F / 3.0F, 0.49F), (Kept{0}));
}

TEST(Suppress, DropsABoxInsideABetterOneButNotTheOtherWayRound) {
  const Box big{0, 0, 100, 100};
  const Box small{10, 10, 20, 20};
  EXPECT_EQ(suppress(std::vector<Box>{big, small}, 0.5F, 0.8F), (Kept{0}));
  EXPECT_EQ(suppress(std::vector<Box>{small, big}, 0.5F, 0.8F), (Kept{0, 1}));
}

TEST(Suppress, ADroppedBoxDropsNobody) {
  // 1 falls to 0; 2 overlaps 1 only.
  const std::vector<Box> boxes = {{0, 0, 10, 10}, {4, 0, 14, 10}, {8, 0, 18, 10}};
  EXPECT_EQ(suppress(boxes, 0.4F, 1.0F), (Kept{0, 2}));
}

TEST(Suppress, OfEqualBoxesTheFirstStays) {
  const std::vector<Box> boxes(5, Box{2, 2, 8, 8});
  EXPECT_EQ(suppress(boxes, 0.5F, 0.8F), (Kept{0}));
  EXPECT_TRUE(suppress({}, 0.5F, 0.8F).empty());
}

}  // namespace
}  // namespace itemcrop::items
