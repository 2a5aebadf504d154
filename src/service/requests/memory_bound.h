#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "service/requests/settings.h"

namespace itemcrop::service {

/// One kind of memory that the service holds, and the most of it that its settings allow.
struct MemoryPart {
  std::string name;     ///< "bodies"
  std::string formula;  ///< "2 x max_buffered_bytes"
  std::int64_t bytes = 0;
};

/// All of them but the models' weights and activations, which `itemcrop info` tells.
std::vector<MemoryPart> memory_parts(const Settings& settings);

/// Their sum: what no set of requests takes resident memory above, beside the models.
std::int64_t memory_bound(const Settings& settings);

/// The least memory limit of the control groups that this process is in (cgroup v1 and v2); none if
/// there is no limit. `root` is where /proc and /sys are.
std::optional<std::int64_t> container_memory_limit(const std::filesystem::path& root = "/");

}  // namespace itemcrop::service
