#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <memory>

#include "itemcrop/image.h"

#include "backend/cuda/executor.h"
#include "core/thread_pool.h"

namespace itemcrop::cuda {

/// How images reach the device: in pieces through two page-locked chunks, so that a large photo
/// needs no large page-locked memory, and the host copies one piece while the other travels.
struct CudaExecutor::PixelUpload {
  static constexpr std::size_t kChunkBytes = std::size_t{4} << 20;
  /// One thread copies a fifth of what the bus takes.
  static constexpr int kMaxThreads = 4;

  PixelUpload(int device, int threads)
      : tables(device), threads_(std::clamp(threads, 1, kMaxThreads)) {}

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

  /// Rows [first, first + count) of an image, without gaps between them.
  void copy_rows(const ImageView& image, std::int64_t first, std::int64_t count, std::byte* to) {
    const auto row_bytes = static_cast<std::size_t>(3) * static_cast<std::size_t>(image.width);
    const auto copy = [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        std::memcpy(to + static_cast<std::size_t>(i) * row_bytes,
                    image.pixels + (first + i) * image.stride(), row_bytes);
      }
    };
    if (threads_ == 1) return copy(0, count);
    if (pool_ == nullptr) pool_ = std::make_unique<ThreadPool>(threads_);
    pool_->parallel_for(threads_, [&](std::int64_t part, int) {
      copy(count * part / threads_, count * (part + 1) / threads_);
    });
  }

  std::array<std::unique_ptr<Chunk>, 2> chunks;  ///< made when the first image comes
  std::size_t next = 0;
  Staging tables;

 private:
  int threads_;
  std::unique_ptr<ThreadPool> pool_;
};

}  // namespace itemcrop::cuda
