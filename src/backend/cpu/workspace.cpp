#include "backend/cpu/workspace.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "itemcrop/error.h"

namespace itemcrop::cpu {
namespace {

constexpr std::size_t rounded(std::size_t bytes) {
  constexpr std::size_t kAlignment = 64;
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

std::byte* Workspace::take_bytes(std::size_t bytes) {
  const std::size_t size = rounded(bytes + kSlack);
  if (blocks_.empty() || size > blocks_.back().size - used_) add_block(size);
  std::byte* result = blocks_.back().data.get() + used_;
  used_ += size;
  return result;
}

void Workspace::reset() {
  if (blocks_.size() > 1) {
    const std::size_t total = bytes();
    blocks_.clear();
    add_block(total);
  }
  used_ = 0;
}

std::size_t Workspace::bytes() const noexcept {
  std::size_t total = 0;
  for (const Block& block : blocks_) total += block.size;
  return total;
}

void Workspace::add_block(std::size_t bytes) {
  constexpr std::size_t kSmallest = std::size_t{1} << 20;
  const std::size_t size = std::max(kSmallest, rounded(bytes));
  HostBlock data = allocate_host_block(size);
  if (data == nullptr) {
    throw Error(ErrorCode::kOutOfMemory,
                "cannot allocate " + std::to_string(size) + " bytes of working memory");
  }
  std::memset(data.get(), 0, size);
  blocks_.push_back({std::move(data), size});
  used_ = 0;
}

}  // namespace itemcrop::cpu
