#pragma once

#include <cstddef>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>

#include "itemcrop/model.h"

namespace itemcrop::scheduler {

/// Remembers Model::estimate by what it depends on: image sizes, prompts, edges. One for each
/// loaded model, which is not part of the key. Bounded; thread-safe.
class EstimateCache {
 public:
  explicit EstimateCache(std::size_t max_entries = 4096) : max_entries_(max_entries) {}

  /// Workspace bytes of one call with every request in it. Throws what Model::estimate throws
  /// (nothing is remembered then).
  std::size_t workspace_bytes(const Model& model, std::span<const DetectRequest> requests,
                              const DetectOptions& options);

 private:
  static constexpr std::size_t max_key_bytes_ = std::size_t{4} << 20;

  std::size_t max_entries_;
  std::mutex mutex_;
  std::size_t key_bytes_ = 0;
  std::unordered_map<std::string, std::size_t> bytes_;
};

}  // namespace itemcrop::scheduler
