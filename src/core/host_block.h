#pragma once

#include <cstddef>
#include <memory>

namespace itemcrop {

struct HostBlockDeleter {
  void operator()(std::byte* block) const noexcept;
};
using HostBlock = std::unique_ptr<std::byte, HostBlockDeleter>;

/// Uninitialised memory, 64-byte aligned; null if there is not enough. Blocks of 2 MiB and more ask
/// for huge pages: first touches and address translation then cost hundreds of times less.
HostBlock allocate_host_block(std::size_t bytes) noexcept;

}  // namespace itemcrop
