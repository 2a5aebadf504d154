#include "core/host_block.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstdlib>

namespace itemcrop {

void HostBlockDeleter::operator()(std::byte* block) const noexcept { std::free(block); }

HostBlock allocate_host_block(std::size_t bytes) noexcept {
  constexpr std::size_t kCacheLine = 64;
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  const std::size_t alignment = bytes >= kHugePage ? kHugePage : kCacheLine;
  const std::size_t size = (bytes + alignment - 1) / alignment * alignment;
  if (size < bytes) return nullptr;
  HostBlock block(static_cast<std::byte*>(std::aligned_alloc(alignment, size)));
#if defined(__linux__)
  // Only advice: where it is refused, ordinary pages do.
  if (block != nullptr && bytes >= kHugePage) madvise(block.get(), size, MADV_HUGEPAGE);
#endif
  return block;
}

}  // namespace itemcrop
