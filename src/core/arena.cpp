#include "core/arena.h"

#include <algorithm>
#include <string>

#include "itemcrop/error.h"

namespace itemcrop {

Arena::Arena(std::size_t capacity) : capacity_(rounded(capacity)) {
  if (capacity_ == 0) return;
  block_ = allocate_host_block(capacity_);
  if (block_ == nullptr) {
    throw Error(ErrorCode::kOutOfMemory,
                "cannot allocate " + std::to_string(capacity_) + " bytes of activation memory");
  }
}

void* Arena::allocate(std::size_t bytes) {
  // Capacity and use are whole multiples of the alignment; rounding first could overflow.
  if (bytes > capacity_ - used_) {
    throw Error(ErrorCode::kInternal, "arena of " + std::to_string(capacity_) +
                                          " bytes cannot hold " + std::to_string(bytes) +
                                          " more: " + std::to_string(used_) + " are in use");
  }
  void* result = block_.get() + used_;
  used_ += rounded(bytes);
  peak_ = std::max(peak_, used_);
  return result;
}

}  // namespace itemcrop
