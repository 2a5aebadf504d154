#pragma once

#include <cstddef>
#include <vector>

namespace itemcrop::cpu::reference {

/// Working memory of an executor's ops beside its arena: one block a worker and one shared block.
/// Blocks only grow, so that repeated calls do not allocate.
class Scratch {
 public:
  explicit Scratch(int workers);

  /// Makes every worker's block hold `floats` values; contents are lost.
  /// Throws Error(kOutOfMemory).
  void reserve(std::size_t floats);
  /// Makes the shared block hold `floats` values and returns it. Throws Error(kOutOfMemory).
  float* reserve_shared(std::size_t floats);

  float* of(int worker) noexcept { return workers_[static_cast<std::size_t>(worker)].data(); }
  std::size_t bytes() const noexcept;

 private:
  std::vector<std::vector<float>> workers_;
  std::vector<float> shared_;
};

}  // namespace itemcrop::cpu::reference
