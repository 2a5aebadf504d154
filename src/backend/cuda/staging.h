#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

#include "backend/cuda/commands.h"
#include "backend/cuda/runtime.h"

namespace itemcrop::cuda {

/// Small host data on its way to the device: page-locked memory and its mirror on the device,
/// handed out in order and sent in one copy with the work that reads it. The same requests after a
/// reset() get the same addresses, so that recorded work finds its data again.
class Staging {
 public:
  /// Of this device, whichever the calling thread has selected.
  explicit Staging(int device) : device_(device) {}

  struct Piece {
    std::byte* host = nullptr;
    std::byte* device = nullptr;
  };

  /// Uninitialised, aligned to 256 bytes. Throws Error(kOutOfMemory).
  Piece take(std::size_t bytes);

  template <class T>
  const T* put(std::span<const T> values) {
    const Piece piece = take(values.size_bytes());
    if (!values.empty()) std::memcpy(piece.host, values.data(), values.size_bytes());
    return reinterpret_cast<const T*>(piece.device);
  }

  /// Adds the copies of all that was taken since the last commit.
  void commit(CommandList& commands);
  /// Everything may be overwritten; only when no work that reads it is under way.
  void reset() noexcept;

  std::size_t bytes() const noexcept;  ///< of device memory

 private:
  struct Block {
    Memory host;
    Memory device;
    std::size_t used = 0;
    std::size_t committed = 0;
  };

  int device_;
  std::vector<Block> blocks_;
  std::size_t current_ = 0;
};

}  // namespace itemcrop::cuda
