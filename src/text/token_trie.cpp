#include "text/token_trie.h"

#include <algorithm>

namespace itemcrop::text {

TokenTrie::TokenTrie(std::vector<std::pair<std::string_view, std::int32_t>> tokens) {
  std::sort(tokens.begin(), tokens.end());
  // Breadth first: each entry is a node and the sorted tokens that pass through it.
  struct Range {
    std::size_t begin;
    std::size_t end;
    std::size_t depth;
  };
  std::vector<Range> ranges{{0, tokens.size(), 0}};
  for (std::size_t node = 0; node < ranges.size(); ++node) {
    auto [begin, end, depth] = ranges[node];
    if (begin < end && tokens[begin].first.size() == depth) {
      nodes_[node].id = tokens[begin].second;
      ++begin;
    }
    nodes_[node].first_edge = static_cast<std::uint32_t>(edge_bytes_.size());
    while (begin < end) {
      const char byte = tokens[begin].first[depth];
      std::size_t next = begin;
      while (next < end && tokens[next].first[depth] == byte) {
        ++next;
      }
      edge_bytes_.push_back(static_cast<std::uint8_t>(byte));
      edge_targets_.push_back(static_cast<std::uint32_t>(ranges.size()));
      ranges.push_back({begin, next, depth + 1});
      nodes_.emplace_back();
      begin = next;
    }
    nodes_[node].edge_count =
        static_cast<std::uint32_t>(edge_bytes_.size()) - nodes_[node].first_edge;
  }
}

TokenTrie::Match TokenTrie::longest_prefix(std::string_view text) const noexcept {
  Match match;
  const Node* node = &nodes_.front();
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<std::uint8_t>(text[at]);
    const auto first = edge_bytes_.begin() + node->first_edge;
    const auto last = first + node->edge_count;
    const auto edge = std::lower_bound(first, last, byte);
    if (edge == last || *edge != byte) {
      break;
    }
    node = &nodes_[edge_targets_[static_cast<std::size_t>(edge - edge_bytes_.begin())]];
    if (node->id >= 0) {
      match = {node->id, at + 1};
    }
  }
  return match;
}

}  // namespace itemcrop::text
