#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "service/requests/settings.h"

namespace itemcrop::service {

/// Images of jobs that are worked on at a time.
inline constexpr int kJobImagesAtATime = 4;
/// What is read of the jobs' journal at a time; one result may be larger, up to kJobResultBytes.
inline constexpr std::size_t kJobPageBytes = 8 << 20;
inline constexpr std::size_t kJobResultBytes = 16 << 20;
/// Threads that read the journal and files.
inline constexpr std::size_t kLocalThreads = 4;

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

/// Before the service starts: throws Error(kInvalidArgument) if the settings allow requests more
/// than a container's `limit`, unless allow_overcommit is set.
void check_memory(const Settings& settings, std::optional<std::int64_t> limit);

/// The least memory limit of the control groups that this process is in (cgroup v1 and v2); none if
/// there is no limit. `root` is where /proc and /sys are.
std::optional<std::int64_t> container_memory_limit(const std::filesystem::path& root = "/");

}  // namespace itemcrop::service
