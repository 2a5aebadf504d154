#include "scheduler/estimate_cache.h"

namespace itemcrop::scheduler {
namespace {

void append(std::string& key, int value) {
  key.append(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string key_of(std::span<const DetectRequest> requests, const DetectOptions& options) {
  std::string key;
  append(key, options.shortest_edge);
  append(key, options.longest_edge);
  append(key, options.max_items);
  append(key, options.max_passes);
  for (const DetectRequest& request : requests) {
    append(key, request.image.width);
    append(key, request.image.height);
    append(key, static_cast<int>(request.items.size()));
    for (const Item& item : request.items) {
      append(key, static_cast<int>(item.prompt.size()));
      key += item.prompt;
    }
  }
  return key;
}

}  // namespace

std::size_t EstimateCache::workspace_bytes(const Model& model,
                                           std::span<const DetectRequest> requests,
                                           const DetectOptions& options) {
  std::string key = key_of(requests, options);
  {
    const std::lock_guard lock(mutex_);
    const auto known = bytes_.find(key);
    if (known != bytes_.end()) return known->second;
  }
  const std::size_t bytes = model.estimate(requests, options).workspace_bytes;
  const std::lock_guard lock(mutex_);
  // Prompts are bounded by whoever takes requests, but thousands of the longest are not worth it.
  if (key_bytes_ + key.size() > max_key_bytes_ || bytes_.size() >= max_entries_) {
    bytes_.clear();
    key_bytes_ = 0;
  }
  key_bytes_ += key.size();
  bytes_.emplace(std::move(key), bytes);
  return bytes;
}

}  // namespace itemcrop::scheduler
