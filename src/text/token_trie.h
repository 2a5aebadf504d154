#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace itemcrop::text {

/// Finds the longest token that a text starts with, in time of that token's length and not of the
/// text's: greedy WordPiece over a hash table is quadratic, which long hostile words would exploit.
class TokenTrie {
 public:
  struct Match {
    std::int32_t id = -1;  ///< -1: no token fits
    std::size_t bytes = 0;
  };

  TokenTrie() = default;
  /// Non-empty, distinct tokens and their ids, in any order.
  explicit TokenTrie(std::vector<std::pair<std::string_view, std::int32_t>> tokens);

  Match longest_prefix(std::string_view text) const noexcept;

 private:
  /// Edges of a node are consecutive and ascending by byte.
  struct Node {
    std::int32_t id = -1;
    std::uint32_t first_edge = 0;
    std::uint32_t edge_count = 0;
  };

  std::vector<Node> nodes_{Node{}};
  std::vector<std::uint8_t> edge_bytes_;
  std::vector<std::uint32_t> edge_targets_;
};

}  // namespace itemcrop::text
