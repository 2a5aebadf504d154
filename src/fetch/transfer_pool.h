#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

namespace itemcrop::fetch {

class Transfer;

/// Idle transfers with their open connections, so that threads reuse them. Thread-safe.
class TransferPool {
 public:
  /// Returns itself to the pool when it goes out of scope.
  class Lease {
   public:
    Lease(TransferPool& pool, std::unique_ptr<Transfer> transfer);
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease();
    Transfer& operator*() const noexcept { return *transfer_; }
    Transfer* operator->() const noexcept { return transfer_.get(); }

   private:
    TransferPool& pool_;
    std::unique_ptr<Transfer> transfer_;
  };

  explicit TransferPool(std::size_t max_idle);
  TransferPool(const TransferPool&) = delete;
  TransferPool& operator=(const TransferPool&) = delete;
  ~TransferPool();

  /// Never waits: a new transfer is made when none is idle.
  Lease take();

 private:
  void put(std::unique_ptr<Transfer> transfer);

  const std::size_t max_idle_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Transfer>> idle_;
};

}  // namespace itemcrop::fetch
