#pragma once

#include <cstddef>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>

#include "itemcrop/model.h"

namespace itemcrop::scheduler {

/// Remembers Model::estimate by what it depends on: picture sizes and prompts, in order. Belongs to
/// one loaded model and one set of edges, so those are not part of the key. Bounded; thread-safe.
class EstimateCache {
 public:
  explicit EstimateCache(std::size_t max_entries = 4096) : max_entries_(max_entries) {}

  /// Workspace bytes of one call. Throws what Model::estimate throws (nothing is remembered then).
  std::size_t workspace_bytes(const Model& model, std::span<const DetectRequest> requests,
                              const DetectOptions& options);

 private:
  std::size_t max_entries_;
  std::mutex mutex_;
  std::unordered_map<std::string, std::size_t> bytes_;
};

}  // namespace itemcrop::scheduler
