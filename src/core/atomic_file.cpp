#include "core/atomic_file.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <random>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

#include "itemcrop/error.h"

#include "core/file_descriptor.h"

namespace itemcrop {
namespace {

[[noreturn]] void throw_errno(ErrorCode code, const std::filesystem::path& path,
                              std::string_view step, int error) {
  throw Error(code, path.string() + ": " + std::string(step) + ": " +
                        std::generic_category().message(error));
}

/// The temporary file: removed by the destructor unless it was renamed away.
class TemporaryFile {
 public:
  /// Creates it beside `target`, with the permissions the process's umask gives any new file.
  explicit TemporaryFile(const std::filesystem::path& target)
      : path_(temporary_name(target)),
        // O_EXCL: never write through a link that somebody else planted.
        file_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) {
    if (file_.get() < 0) {
      const int error = errno;
      throw_errno(error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo, target,
                  "cannot create a file in its folder", error);
    }
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }

  void write(const std::filesystem::path& target, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(file_.get(), bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) throw_errno(ErrorCode::kIo, target, "cannot write", errno);
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
    if (::fsync(file_.get()) != 0) throw_errno(ErrorCode::kIo, target, "cannot flush", errno);
    if (!file_.close()) throw_errno(ErrorCode::kIo, target, "cannot close", errno);
  }

  void rename_to(const std::filesystem::path& target) {
    if (std::rename(path_.c_str(), target.c_str()) != 0) {
      throw_errno(ErrorCode::kIo, target, "cannot rename the finished file", errno);
    }
    path_.clear();
  }

 private:
  std::filesystem::path path_;
  FileDescriptor file_;
};

/// Makes the rename itself survive a crash.
void sync_folder(const std::filesystem::path& target) {
  const std::filesystem::path parent = target.parent_path();
  const FileDescriptor folder(
      ::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // EINVAL: a file system that cannot flush folders.
  if (folder.get() < 0 || (::fsync(folder.get()) != 0 && errno != EINVAL)) {
    throw_errno(ErrorCode::kIo, target, "cannot flush its folder", errno);
  }
}

}  // namespace

void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  TemporaryFile file(path);
  file.write(path, bytes);
  file.rename_to(path);
  sync_folder(path);
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

std::filesystem::path temporary_name(const std::filesystem::path& path) {
  std::random_device random;
  std::array<char, 40> name{};
  std::snprintf(name.data(), name.size(), ".itemcrop-%08x%08x.tmp", random(), random());
  return path.parent_path() / name.data();
}

}  // namespace itemcrop
