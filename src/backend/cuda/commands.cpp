#include "backend/cuda/commands.h"

namespace itemcrop::cuda {

void CommandList::append(const Header& header, const void* params) {
  const std::size_t at = bytes_.size();
  bytes_.resize(at + sizeof(Header) + header.bytes);
  std::memcpy(bytes_.data() + at, &header, sizeof(Header));
  std::memcpy(bytes_.data() + at + sizeof(Header), params, header.bytes);
  ++count_;
}

void CommandList::run(const CommandContext& context) const {
  for (std::size_t at = 0; at < bytes_.size();) {
    const auto header = read<Header>(bytes_.data() + at);
    at += sizeof(Header);
    header.run(context, header, bytes_.data() + at);
    at += header.bytes;
  }
}

void CommandList::clear() noexcept {
  bytes_.clear();
  count_ = 0;
}

}  // namespace itemcrop::cuda
