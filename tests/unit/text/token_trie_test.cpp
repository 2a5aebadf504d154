#include "text/token_trie.h"

#include <gtest/gtest.h>

namespace itemcrop::text {
namespace {

TEST(TokenTrie, FindsTheLongestTokenThatFits) {
  const TokenTrie trie({{"a", 1}, {"abc", 2}, {"abd", 3}, {"b\xC3\xA9", 4}});
  const auto expect = [&](std::string_view text, std::int32_t id, std::size_t bytes) {
    const TokenTrie::Match match = trie.longest_prefix(text);
    EXPECT_EQ(match.id, id) << text;
    EXPECT_EQ(match.bytes, bytes) << text;
  };
  expect("a", 1, 1);
  expect("ab", 1, 1);
  expect("abc", 2, 3);
  expect("abdx", 3, 3);
  expect("b\xC3\xA9", 4, 3);
  expect("b", -1, 0);
  expect("c", -1, 0);
  expect("", -1, 0);
}

TEST(TokenTrie, EmptyFindsNothing) {
  EXPECT_EQ(TokenTrie().longest_prefix("a").id, -1);
  EXPECT_EQ(
      TokenTrie(std::vector<std::pair<std::string_view, std::int32_t>>{}).longest_prefix("a").id,
      -1);
}

}  // namespace
}  // namespace itemcrop::text
