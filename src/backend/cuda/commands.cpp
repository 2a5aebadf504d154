#include "backend/cuda/commands.h"

namespace itemcrop::cuda {
namespace {

class EarlyScope {
 public:
  EarlyScope(bool next, bool later) { kernels::early_launches = {next, later}; }
  ~EarlyScope() { kernels::early_launches = {}; }
  EarlyScope(const EarlyScope&) = delete;
  EarlyScope& operator=(const EarlyScope&) = delete;
};

}  // namespace

void CommandList::append(const Header& header, const void* params) {
  const std::size_t at = bytes_.size();
  bytes_.resize(at + sizeof(Header) + header.bytes);
  std::memcpy(bytes_.data() + at, &header, sizeof(Header));
  std::memcpy(bytes_.data() + at + sizeof(Header), params, header.bytes);
  ++count_;
}

void CommandList::run(const CommandContext& context) const {
  // A branch's next kernel may be early if it waits for nothing but a kernel of that branch.
  bool after_kernel[2] = {};
  for (std::size_t at = 0; at < bytes_.size();) {
    const auto header = read<Header>(bytes_.data() + at);
    at += sizeof(Header);
    bool& here = after_kernel[header.branch];
    const EarlyScope scope(context.early_launches && here, context.early_launches);
    header.run(context, header, bytes_.data() + at);
    at += header.bytes;
    if (header.kind == Kind::kKernel) here = true;
    if (header.kind == Kind::kCopy || header.kind == Kind::kJoin) here = false;
    if (header.kind == Kind::kFork) after_kernel[static_cast<std::size_t>(Branch::kSide)] = false;
  }
}

void CommandList::clear() noexcept {
  bytes_.clear();
  count_ = 0;
}

}  // namespace itemcrop::cuda
