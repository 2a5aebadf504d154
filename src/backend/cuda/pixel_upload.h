#pragma once

#include <array>
#include <cstddef>
#include <memory>

#include "backend/cuda/executor.h"

namespace itemcrop::cuda {

/// How pictures reach the device: in pieces through two page-locked chunks, so that a large photo
/// needs no large page-locked memory, and the host copies one piece while the other travels.
struct CudaExecutor::PixelUpload {
  static constexpr std::size_t kChunkBytes = std::size_t{4} << 20;

  struct Chunk {
    Memory host{MemoryKind::kPinned, kChunkBytes};
    Event free;
  };
  /// The chunk to fill next; free once its event has passed.
  Chunk& next_chunk() {
    std::unique_ptr<Chunk>& chunk = chunks[next++ % chunks.size()];
    if (chunk == nullptr) chunk = std::make_unique<Chunk>();
    return *chunk;
  }

  std::array<std::unique_ptr<Chunk>, 2> chunks;  ///< made when the first picture comes
  std::size_t next = 0;
  Staging tables;
};

}  // namespace itemcrop::cuda
