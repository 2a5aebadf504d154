#include "failing_disk.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include <dlfcn.h>
#include <unistd.h>

namespace itemcrop::test {
namespace {

thread_local int calls_left = 0;  // 0: nothing is watched
thread_local int error_to_set = 0;
thread_local bool has_failed = false;

bool fails_now() {
  if (calls_left == 0) return false;
  if (calls_left > 1) {
    --calls_left;
    return false;
  }
  has_failed = true;
  errno = error_to_set;
  return true;
}

template <typename Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

FailingDisk::FailingDisk(int nth, int error) {
  calls_left = nth;
  error_to_set = error;
  has_failed = false;
}

FailingDisk::~FailingDisk() { calls_left = 0; }

bool FailingDisk::failed() const { return has_failed; }

extern "C" ssize_t write(int file, const void* data, size_t size) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t)>("write");
  if (calls_left != 0) {
    if (fails_now()) return -1;
    size = std::min<size_t>(size, 1000);
  }
  return real(file, data, size);
}

extern "C" int fsync(int file) {
  static const auto real = next<int (*)(int)>("fsync");
  return fails_now() ? -1 : real(file);
}

extern "C" int rename(const char* from, const char* to) noexcept {
  static const auto real = next<int (*)(const char*, const char*)>("rename");
  return fails_now() ? -1 : real(from, to);
}

}  // namespace itemcrop::test
