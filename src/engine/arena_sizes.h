#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <optional>
#include <string>

namespace itemcrop::engine {

/// Arena bytes by the shapes of a call, so that shapes met before need no dry run: on a GPU it
/// would take a tenth of the call. Thread-safe, bounded.
class ArenaSizes {
 public:
  std::optional<std::size_t> find(const std::string& shapes) const {
    const std::lock_guard lock(mutex_);
    const auto found = bytes_.find(shapes);
    return found == bytes_.end() ? std::nullopt : std::optional(found->second);
  }
  void insert(const std::string& shapes, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    if (bytes_.size() >= kMost) bytes_.clear();
    bytes_[shapes] = bytes;
  }

 private:
  static constexpr std::size_t kMost = 1024;

  mutable std::mutex mutex_;
  std::map<std::string, std::size_t> bytes_;
};

}  // namespace itemcrop::engine
