#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace itemcrop::engine {

/// Text features of recently used prompts, least recently used dropped first. Thread-safe.
class TextCache {
 public:
  using Features = std::shared_ptr<const std::vector<float>>;  ///< [tokens, d_model]

  explicit TextCache(std::size_t max_bytes) : max_bytes_(max_bytes) {}

  /// nullptr if unknown.
  Features find(const std::vector<std::int32_t>& ids);
  void insert(const std::vector<std::int32_t>& ids, Features features);

 private:
  struct Entry {
    std::vector<std::int32_t> ids;
    Features features;
  };
  static std::size_t bytes(const Entry& entry) noexcept {
    return entry.features->size() * sizeof(float) + entry.ids.size() * sizeof(std::int32_t);
  }

  std::mutex mutex_;
  std::size_t max_bytes_;
  std::size_t bytes_ = 0;
  std::list<Entry> recent_;  ///< most recent first
  std::map<std::vector<std::int32_t>, std::list<Entry>::iterator> by_ids_;
};

}  // namespace itemcrop::engine
