#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/host_block.h"

namespace itemcrop::cpu {

/// One worker's scratch memory. take() bumps, reset() forgets; memory is kept between tasks and
/// merged into one block, so that after the first few tasks nothing is allocated. Blocks start as
/// zeros: what a kernel reads past a row's end is at worst an old finite value.
class Workspace {
 public:
  /// 64-byte aligned, uninitialised, with kSlack readable and writable bytes behind.
  /// Throws Error(kOutOfMemory).
  template <class T>
  T* take(std::int64_t count) {
    return static_cast<T*>(
        static_cast<void*>(take_bytes(static_cast<std::size_t>(count) * sizeof(T))));
  }
  std::byte* take_bytes(std::size_t bytes);

  void reset();
  std::size_t bytes() const noexcept;

  /// Two vectors of the widest instruction set: kernels read whole vectors past a last row.
  static constexpr std::size_t kSlack = 128;

 private:
  struct Block {
    HostBlock data;
    std::size_t size = 0;
  };
  void add_block(std::size_t bytes);

  std::vector<Block> blocks_;
  std::size_t used_ = 0;  ///< of the last block
};

}  // namespace itemcrop::cpu
