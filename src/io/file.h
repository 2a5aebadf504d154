#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

namespace itemcrop::io {

/// A regular file mapped read-only for the object's life. Not copyable, movable.
class MappedFile {
 public:
  /// Throws Error: kNotFound (cannot be opened), kCorruptModel (empty, or not a regular file),
  /// kIo (cannot be mapped).
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const noexcept { return bytes_; }

  /// Drops the whole pages inside `part` of bytes() from memory; they are read again on demand.
  void release(std::span<const std::byte> part) const noexcept;

 private:
  std::span<const std::byte> bytes_;
};

/// A whole regular file of at most `limit` bytes. Throws Error: kNotFound, kLimitExceeded, kIo.
std::string read_file(const std::filesystem::path& path, std::size_t limit);

}  // namespace itemcrop::io
