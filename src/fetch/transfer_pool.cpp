#include "fetch/transfer_pool.h"

#include <utility>

#include "fetch/transfer.h"

namespace itemcrop::fetch {

TransferPool::Lease::Lease(TransferPool& pool, std::unique_ptr<Transfer> transfer)
    : pool_(pool), transfer_(std::move(transfer)) {}

TransferPool::Lease::~Lease() { pool_.put(std::move(transfer_)); }

// Reserved, so that giving back cannot throw.
TransferPool::TransferPool(std::size_t max_idle) : max_idle_(max_idle) { idle_.reserve(max_idle); }

TransferPool::~TransferPool() = default;

TransferPool::Lease TransferPool::take() {
  std::unique_ptr<Transfer> transfer;
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      transfer = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (transfer == nullptr) transfer = std::make_unique<Transfer>();
  transfer->prepare();
  return {*this, std::move(transfer)};
}

void TransferPool::put(std::unique_ptr<Transfer> transfer) {
  const std::lock_guard lock(mutex_);
  if (idle_.size() < max_idle_) idle_.push_back(std::move(transfer));
}

}  // namespace itemcrop::fetch
