#include "image/zeroed_heap.h"

#include <cstdlib>
#include <mutex>
#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace itemcrop::image {
namespace {

// glibc fills new memory with the complement of this value; 0 switches filling off.
constexpr int kFillWithZeros = 0xFF;
constexpr int kOff = 0;

void set_fill([[maybe_unused]] int value) {
#ifdef __GLIBC__
  ::mallopt(M_PERTURB, value);
#endif
}

/// How many ZeroedHeap live; the switch is one for the process.
struct Users {
  std::mutex mutex;
  int count = 0;
};

Users& users() {
  static Users shared;
  return shared;
}

}  // namespace

ZeroedHeap::ZeroedHeap() {
  const std::lock_guard lock(users().mutex);
  if (users().count++ == 0) set_fill(kFillWithZeros);
}

ZeroedHeap::~ZeroedHeap() {
  const std::lock_guard lock(users().mutex);
  if (--users().count == 0) set_fill(kOff);
}

}  // namespace itemcrop::image
