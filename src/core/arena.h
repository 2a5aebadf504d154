#pragma once

#include <cstddef>

#include "core/host_block.h"

namespace itemcrop {

/// A bump allocator over one aligned host block. Marks release in reverse order of taking.
class Arena {
 public:
  static constexpr std::size_t kAlignment = 64;

  /// Throws Error(kOutOfMemory) naming the size.
  explicit Arena(std::size_t capacity);

  /// 64-byte aligned, uninitialised. Throws Error(kInternal) past the planned capacity.
  void* allocate(std::size_t bytes);

  std::size_t mark() const noexcept { return used_; }
  void release(std::size_t mark) noexcept { used_ = mark; }
  std::size_t peak() const noexcept { return peak_; }
  std::size_t capacity() const noexcept { return capacity_; }

  /// Size that an allocation really takes.
  static constexpr std::size_t rounded(std::size_t bytes) noexcept {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }

 private:
  HostBlock block_;
  std::size_t capacity_ = 0;
  std::size_t used_ = 0;
  std::size_t peak_ = 0;
};

}  // namespace itemcrop
