#include "backend/cuda/staging.h"

#include <algorithm>

namespace itemcrop::cuda {
namespace {

/// What one image's call needs is well below.
constexpr std::size_t kBlockBytes = std::size_t{1} << 20;

}  // namespace

Staging::Piece Staging::take(std::size_t bytes) {
  bytes = std::max(aligned(bytes), kAlignment);
  while (current_ < blocks_.size() &&
         blocks_[current_].device.bytes() - blocks_[current_].used < bytes) {
    ++current_;
  }
  if (current_ == blocks_.size()) {
    select_device(device_);
    const std::size_t block_bytes = std::max(bytes, kBlockBytes);
    Block block{.host = Memory(MemoryKind::kPinned, block_bytes),
                .device = Memory(MemoryKind::kDevice, block_bytes)};
    blocks_.push_back(std::move(block));
  }
  Block& block = blocks_[current_];
  const Piece piece{block.host.data() + block.used, block.device.data() + block.used};
  block.used += bytes;
  return piece;
}

void Staging::commit(CommandList& commands) {
  for (Block& block : blocks_) {
    if (block.used == block.committed) continue;
    commands.add(Copy{block.device.data() + block.committed, block.host.data() + block.committed,
                      block.used - block.committed});
    block.committed = block.used;
  }
}

void Staging::reset() noexcept {
  for (Block& block : blocks_) block.used = block.committed = 0;
  current_ = 0;
}

std::size_t Staging::bytes() const noexcept {
  std::size_t total = 0;
  for (const Block& block : blocks_) total += block.device.bytes();
  return total;
}

}  // namespace itemcrop::cuda
