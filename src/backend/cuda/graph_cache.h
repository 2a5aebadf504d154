#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "backend/cuda/commands.h"

namespace itemcrop::cuda {

/// Runs lists of commands. A list met for the second time is recorded as a graph, which is what
/// runs from then on: one launch instead of hundreds. Bounded; the least recently used graph goes.
class GraphCache {
 public:
  /// `most` graphs; 0: never record.
  explicit GraphCache(std::size_t most) : most_(most) {}

  void run(const CommandList& commands, const CommandContext& context);

  std::size_t graphs() const noexcept;      ///< kept now
  std::uint64_t launches() const noexcept;  ///< of graphs, so far

 private:
  struct Entry {
    std::shared_ptr<const CommandList> commands;
    std::unique_ptr<Graph> graph;  ///< null until the list is met again
    std::uint64_t last_use = 0;
    bool refused = false;  ///< cannot be recorded
  };

  void forget_oldest();

  std::size_t most_;
  std::uint64_t uses_ = 0;
  std::uint64_t launches_ = 0;
  std::unordered_map<std::uint64_t, Entry> entries_;  ///< by hash of the commands' bytes
};

}  // namespace itemcrop::cuda
