#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "backend/cpu/reference/scratch.h"
#include "core/arena.h"
#include "core/thread_pool.h"
#include "ops/executor.h"

namespace itemcrop::cpu::reference {

/// ops::Executor in scalar loops. All float matrices are fp32. Every value is computed by one
/// worker in one order, so results do not depend on the number of threads or on the batch.
class ReferenceExecutor final : public ops::Executor {
 public:
  using Matrix = ops::Matrix;
  using Executor::allocate;

  ReferenceExecutor(int threads, std::size_t arena_bytes);

  // memory.cpp
  Matrix allocate(std::int64_t rows, std::int64_t cols, DType dtype) override;
  std::size_t peak_bytes() const noexcept override;
  DType activation_dtype() const noexcept override { return DType::kF32; }

 private:
  ITEMCROP_OPS(ITEMCROP_DECLARE_EXECUTE)

  std::size_t arena_mark() const noexcept override { return arena_.mark(); }
  void arena_release(std::size_t mark) noexcept override { arena_.release(mark); }

  /// body(first row, rows, worker) over blocks of rows, spread over the workers.
  void for_row_blocks(std::int64_t rows,
                      const std::function<void(std::int64_t, std::int64_t, int)>& body);
  /// body(row, worker) for every row, spread over the workers.
  void for_rows(std::int64_t rows, const std::function<void(std::int64_t, int)>& body);

  ThreadPool pool_;
  Arena arena_;
  Scratch scratch_;
};

}  // namespace itemcrop::cpu::reference
