#include "engine/text_cache.h"

#include <utility>

namespace itemcrop::engine {

TextCache::Features TextCache::find(const std::vector<std::int32_t>& ids) {
  const std::lock_guard lock(mutex_);
  const auto known = by_ids_.find(ids);
  if (known == by_ids_.end()) return nullptr;
  recent_.splice(recent_.begin(), recent_, known->second);
  return known->second->features;
}

void TextCache::insert(const std::vector<std::int32_t>& ids, Features features) {
  const std::lock_guard lock(mutex_);
  if (by_ids_.contains(ids)) return;
  recent_.push_front({ids, std::move(features)});
  by_ids_.emplace(ids, recent_.begin());
  bytes_ += bytes(recent_.front());
  while (bytes_ > max_bytes_ && !recent_.empty()) {
    bytes_ -= bytes(recent_.back());
    by_ids_.erase(recent_.back().ids);
    recent_.pop_back();
  }
}

}  // namespace itemcrop::engine
