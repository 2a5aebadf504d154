#include "backend/cuda/graph_cache.h"

#include <algorithm>
#include <cstring>

#include "itemcrop/error.h"

namespace itemcrop::cuda {
namespace {

/// A graph's launch costs about as much as two or three kernels'.
constexpr std::size_t kFewestCommands = 8;

/// FNV's idea on 8 bytes at a time, with the upper half folded back so that all bits count.
std::uint64_t hash_of(std::span<const std::byte> bytes) {
  std::uint64_t hash = 0xCBF29CE484222325U;
  const auto mix = [&](std::uint64_t word) {
    hash = (hash ^ word) * 0x9E3779B97F4A7C15U;
    hash ^= hash >> 32;
  };
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, 8);
    mix(word);
  }
  for (; at < bytes.size(); ++at) mix(static_cast<std::uint64_t>(bytes[at]));
  return hash;
}

}  // namespace

void GraphCache::run(const CommandList& commands, const CommandContext& context) {
  if (most_ == 0 || commands.size() < kFewestCommands) return commands.run(context);
  Entry& entry = entries_[hash_of(commands.bytes())];
  entry.last_use = ++uses_;
  if (entry.commands == nullptr || !std::ranges::equal(entry.commands->bytes(), commands.bytes())) {
    // New, or another list of the same hash, whose place this one takes.
    entry.commands = std::make_shared<const CommandList>(commands);
    entry.graph.reset();
    entry.refused = false;
    if (entries_.size() > most_) forget_oldest();
    return commands.run(context);
  }
  if (entry.refused) return commands.run(context);
  if (entry.graph == nullptr) {
    try {
      entry.graph = std::make_unique<Graph>(
          context.main(), [kept = entry.commands, context] { kept->run(context); });
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kDeviceLost) throw;
      entry.refused = true;
      return commands.run(context);
    }
  }
  entry.graph->launch(context.main());
  ++launches_;
}

void GraphCache::forget_oldest() {
  entries_.erase(std::ranges::min_element(entries_, {},
                                          [](const auto& entry) { return entry.second.last_use; }));
}

std::size_t GraphCache::graphs() const noexcept {
  return static_cast<std::size_t>(std::ranges::count_if(
      entries_, [](const auto& entry) { return entry.second.graph != nullptr; }));
}

std::uint64_t GraphCache::launches() const noexcept { return launches_; }

}  // namespace itemcrop::cuda
