#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "core/file_descriptor.h"
#include "store/store.h"

namespace itemcrop::store {

struct LocalStoreOptions {
  std::filesystem::path folder;        ///< created if missing
  std::string public_url = "/files/";  ///< the key is appended
  std::chrono::seconds max_age{0};     ///< sweep(): older files go; 0: none does
  std::uint64_t max_bytes = 0;         ///< sweep(): oldest files go until so much is left; 0: all
  std::uint64_t min_free_bytes = 64 << 20;  ///< check(): less free space is an error
};

/// A file open for reading.
struct StoredFile {
  StoredFile(int descriptor, std::string_view type) : file(descriptor), content_type(type) {}

  FileDescriptor file;
  std::uint64_t size = 0;
  std::time_t modified = 0;       ///< Unix seconds
  std::string_view content_type;  ///< static text, by the key's ending
};

struct SweepReport {
  std::uint64_t files_kept = 0, bytes_kept = 0;
  std::uint64_t files_removed = 0, bytes_removed = 0;
};

/// A folder, served by the service itself. Files are written beside their place, flushed and
/// renamed: they are seen whole or not at all, also after a crash.
class LocalStore final : public Store {
 public:
  /// Throws Error(kIo): the folder cannot be created.
  explicit LocalStore(LocalStoreOptions options);

  std::string put(const std::string& key, std::span<const std::byte> bytes,
                  std::string_view content_type, std::stop_token stop = {}) override;
  /// Writes and removes a file; throws Error(kIo) also if min_free_bytes are not free.
  void check(std::stop_token stop = {}) override;

  /// Null if there is no such file, `key` is no key, or a link lies on the way.
  /// Throws Error(kIo): it cannot be read.
  std::unique_ptr<StoredFile> open(std::string_view key) const;

  /// A tenth of max_bytes was written since the last sweep.
  bool is_sweep_due() const noexcept;

  /// Applies max_age and max_bytes, and removes what interrupted writes left behind. May run while
  /// other threads put and open. `now` is the files' clock.
  SweepReport sweep(
      std::filesystem::file_time_type now = std::filesystem::file_time_type::clock::now()) const;

 private:
  LocalStoreOptions options_;
  mutable std::atomic<std::uint64_t> bytes_since_sweep_ = 0;
};

}  // namespace itemcrop::store
