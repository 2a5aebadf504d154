#include <cerrno>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "itemcrop/error.h"

#include "core/file_descriptor.h"
#include "image/decode.h"

namespace itemcrop::image {
namespace {

[[noreturn]] void throw_errno(ErrorCode code, const std::filesystem::path& path, int error) {
  throw Error(code, path.string() + ": " + std::generic_category().message(error));
}

[[noreturn]] void throw_too_large(const std::filesystem::path& path, std::size_t max_bytes) {
  throw Error(ErrorCode::kLimitExceeded, path.string() + ": the file is larger than the limit of " +
                                             std::to_string(max_bytes) + " bytes (max_bytes)");
}

}  // namespace

std::vector<std::byte> read_file(const std::filesystem::path& path, std::size_t max_bytes) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) throw_errno(ErrorCode::kNotFound, path, errno);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw_errno(ErrorCode::kIo, path, errno);
  if (S_ISDIR(status.st_mode)) {
    throw Error(ErrorCode::kInvalidArgument, path.string() + ": is a folder, not an image");
  }
  const auto known_size = S_ISREG(status.st_mode) ? static_cast<std::size_t>(status.st_size) : 0;
  if (known_size > max_bytes) throw_too_large(path, max_bytes);

  // Pipes have no size and files can grow: read on until the end or one byte over the limit.
  constexpr std::size_t kStep = 1 << 16;
  std::vector<std::byte> bytes;
  std::size_t used = 0;
  bytes.resize(std::min(known_size + 1, max_bytes + 1));
  for (;;) {
    if (used == bytes.size()) bytes.resize(std::min(bytes.size() * 2 + kStep, max_bytes + 1));
    const ssize_t got = ::read(file.get(), bytes.data() + used, bytes.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_errno(ErrorCode::kIo, path, errno);
    if (got == 0) break;
    used += static_cast<std::size_t>(got);
    if (used > max_bytes) throw_too_large(path, max_bytes);
  }
  bytes.resize(used);
  return bytes;
}

}  // namespace itemcrop::image
