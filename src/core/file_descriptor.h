#pragma once

#include <utility>

#include <unistd.h>

namespace itemcrop {

/// Owns a POSIX file descriptor; -1 owns nothing.
class FileDescriptor {
 public:
  explicit FileDescriptor(int descriptor) noexcept : descriptor_(descriptor) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() { close(); }

  int get() const noexcept { return descriptor_; }

  /// Closes now. False with errno set if the system reports a late write error.
  bool close() noexcept {
    const int descriptor = std::exchange(descriptor_, -1);
    return descriptor < 0 || ::close(descriptor) == 0;
  }

 private:
  int descriptor_;
};

}  // namespace itemcrop
