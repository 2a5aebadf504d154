#include "service/requests/memory_bound.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <numeric>

#include "itemcrop/error.h"

#include "service/requests/json_body.h"

namespace itemcrop::service {
namespace {

namespace fs = std::filesystem;

/// The program, its libraries, its threads' stacks and arenas: measured below 200 MB.
constexpr std::int64_t kProgram = 300'000'000;
/// Read buffer, parser, TLS records and coroutine frames of a connection, beside its head.
constexpr std::int64_t kConnection = 65'536;
/// cgroup v1 writes "no limit" as the largest multiple of a page.
constexpr std::int64_t kNoLimit = std::int64_t{1} << 60;

std::optional<std::int64_t> number_in(const fs::path& file) {
  std::ifstream in(file);
  std::string text;
  if (!(in >> text)) return std::nullopt;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;  // "max"
  return value < kNoLimit ? std::optional(value) : std::nullopt;
}

/// The least of a group's limits and those of the groups it is in.
void lower_to(std::optional<std::int64_t>& least, const fs::path& mount, fs::path group,
              const char* file) {
  // Inside a container the group's path may be the host's, while its files are at the mount itself.
  while (true) {
    if (const auto limit = number_in(mount / group.relative_path() / file)) {
      least = std::min(limit, least ? least : limit);
    }
    if (!group.has_relative_path()) return;
    group = group.parent_path();
  }
}

}  // namespace

std::vector<MemoryPart> memory_parts(const Settings& settings) {
  return {
      {"program", "300 MB", kProgram},
      {"connections", "max_connections x (2 x max_head_bytes + 64 KiB)",
       settings.max_connections * (2 * settings.max_head_bytes + kConnection)},
      {"bodies", "2 x max_buffered_bytes", 2 * settings.max_buffered_bytes},
      // Bodies are parsed within their own part; a vision model's answers are not of callers.
      {"parsed JSON", "fetch_threads x max_json_values x 192",
       settings.fetch_threads * settings.max_json_values * kJsonBytesPerValue},
      {"streams", "max_stream_bytes", settings.max_stream_bytes},
      // A file whose length is not known doubles as it grows, and is copied then.
      {"downloads", "2 x max_download_bytes", 2 * settings.max_download_bytes},
      {"images", "max_decode_bytes", settings.max_decode_bytes},
      {"responses", "max_response_bytes", settings.max_response_bytes},
      // An image as read from the journal and copied; a page and one more result for each reader.
      {"jobs", "8 x max_image_bytes + 96 MiB",
       kJobImagesAtATime * 2 * settings.max_image_bytes +
           static_cast<std::int64_t>(kLocalThreads * (kJobPageBytes + kJobResultBytes))},
      {"analyses", "analysis_cache_bytes", settings.analysis_cache_bytes},
  };
}

std::int64_t memory_bound(const Settings& settings) {
  const std::vector<MemoryPart> parts = memory_parts(settings);
  return std::accumulate(parts.begin(), parts.end(), std::int64_t{0},
                         [](std::int64_t sum, const MemoryPart& part) { return sum + part.bytes; });
}

void check_memory(const Settings& settings, std::optional<std::int64_t> limit) {
  const std::int64_t bound = memory_bound(settings);
  if (!limit || bound <= *limit || settings.allow_overcommit) return;
  throw Error(ErrorCode::kInvalidArgument,
              "memory: requests may take " + std::to_string(bound) +
                  " bytes beside the models, this container has " + std::to_string(*limit) +
                  ": lower max_decode_bytes, max_response_bytes or max_buffered_bytes "
                  "(--print-config lists all parts), raise the container's limit, or set "
                  "allow_overcommit = true");
}

std::optional<std::int64_t> container_memory_limit(const fs::path& root) {
  std::optional<std::int64_t> least;
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    // "0::/a/b" (v2) or "5:memory:/a/b" (v1)
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const fs::path group = line.substr(second + 1);
    if (controllers.empty()) {
      lower_to(least, root / "sys/fs/cgroup", group, "memory.max");
    } else if (controllers.find("memory") != controllers.npos) {
      lower_to(least, root / "sys/fs/cgroup/memory", group, "memory.limit_in_bytes");
    }
  }
  return least;
}

}  // namespace itemcrop::service
