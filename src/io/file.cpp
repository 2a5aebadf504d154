#include "io/file.h"

#include <cerrno>
#include <cstdint>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "itemcrop/error.h"

namespace itemcrop::io {
namespace {

std::string reason() { return std::generic_category().message(errno); }

/// An open descriptor of a regular file.
class File {
 public:
  explicit File(const std::filesystem::path& path) : name_(path.string()) {
    // Non-blocking, so that a named pipe is refused below instead of waited for.
    descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor_ < 0) {
      throw Error(ErrorCode::kNotFound, name_ + ": cannot be opened: " + reason());
    }
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
      ::close(descriptor_);
      throw Error(ErrorCode::kNotFound, name_ + ": not a regular file");
    }
    size_ = static_cast<std::size_t>(status.st_size);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { ::close(descriptor_); }

  int descriptor() const noexcept { return descriptor_; }
  std::size_t size() const noexcept { return size_; }

 private:
  std::string name_;
  int descriptor_ = -1;
  std::size_t size_ = 0;
};

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) {
  const File file(path);
  if (file.size() == 0) {
    throw Error(ErrorCode::kCorruptModel, path.string() + ": the file is empty");
  }
  void* address = ::mmap(nullptr, file.size(), PROT_READ, MAP_PRIVATE, file.descriptor(), 0);
  if (address == MAP_FAILED) {
    throw Error(ErrorCode::kIo, path.string() + ": cannot be mapped: " + reason());
  }
  bytes_ = {static_cast<const std::byte*>(address), file.size()};
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) {
    ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  }
}

void MappedFile::release(std::span<const std::byte> part) const noexcept {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto first = reinterpret_cast<std::uintptr_t>(part.data());
  const std::uintptr_t begin = (first + page - 1) / page * page;
  const std::uintptr_t end = (first + part.size()) / page * page;
  if (begin < end) {
    // Advice only: if the system refuses, the pages merely stay.
    (void)::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
}

std::string read_file(const std::filesystem::path& path, std::size_t limit) {
  const File file(path);
  if (file.size() > limit) {
    throw Error(ErrorCode::kLimitExceeded, path.string() + ": " + std::to_string(file.size()) +
                                               " bytes, the limit is " + std::to_string(limit));
  }
  std::string text(file.size(), '\0');
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t count = ::read(file.descriptor(), text.data() + done, text.size() - done);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      throw Error(ErrorCode::kIo, path.string() + ": reading failed: " +
                                      (count == 0 ? std::string("the file shrank") : reason()));
    }
    done += static_cast<std::size_t>(count);
  }
  return text;
}

}  // namespace itemcrop::io
