#include "engine/text_cache.h"

#include <gtest/gtest.h>

namespace itemcrop::engine {
namespace {

TextCache::Features features(std::size_t count, float value) {
  return std::make_shared<const std::vector<float>>(count, value);
}

TEST(TextCache, FindsWhatWasInserted) {
  TextCache cache(1 << 20);
  EXPECT_EQ(cache.find({1, 2}), nullptr);
  cache.insert({1, 2}, features(4, 0.5F));
  ASSERT_NE(cache.find({1, 2}), nullptr);
  EXPECT_EQ(cache.find({1, 2})->front(), 0.5F);
  EXPECT_EQ(cache.find({1}), nullptr);
}

TEST(TextCache, KeepsTheFirstOfTwoInsertsOfOnePrompt) {
  TextCache cache(1 << 20);
  cache.insert({1}, features(4, 1.0F));
  cache.insert({1}, features(4, 2.0F));
  EXPECT_EQ(cache.find({1})->front(), 1.0F);
}

TEST(TextCache, DropsTheLeastRecentlyUsedPastItsBytes) {
  // Each entry takes 100 floats and one id: 404 bytes.
  TextCache cache(2 * 404);
  cache.insert({1}, features(100, 1.0F));
  cache.insert({2}, features(100, 2.0F));
  EXPECT_NE(cache.find({1}), nullptr);  // 2 is now the older one
  cache.insert({3}, features(100, 3.0F));
  EXPECT_NE(cache.find({1}), nullptr);
  EXPECT_EQ(cache.find({2}), nullptr);
  EXPECT_NE(cache.find({3}), nullptr);
}

TEST(TextCache, HoldsNothingLargerThanItself) {
  TextCache cache(16);
  cache.insert({1}, features(100, 1.0F));
  EXPECT_EQ(cache.find({1}), nullptr);
}

}  // namespace
}  // namespace itemcrop::engine
