#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "itemcrop/model.h"

#include "ops/executor.h"
#include "ops/weights.h"

namespace itemcrop::ops {

/// Weights in host memory, fp32 row-major [outputs, inputs] with an optional bias [outputs].
struct HostLinear {
  const float* weight = nullptr;
  const float* bias = nullptr;
  std::int64_t outputs = 0;
  std::int64_t inputs = 0;
};

/// One device at one precision. Const and safe to share between threads.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual Device device() const noexcept = 0;
  virtual Precision precision() const noexcept = 0;
  virtual std::string name() const = 0;  ///< "cpu (avx512_bf16)"

  virtual std::unique_ptr<const LinearWeights> make_linear(const HostLinear& host,
                                                           WeightPrecision precision) const = 0;
  /// Copies a small table; throws Error(kOutOfMemory).
  virtual std::unique_ptr<const Constant> make_constant(const float* host, std::int64_t rows,
                                                        std::int64_t cols) const = 0;
  /// Bytes held by the linears and constants made so far.
  virtual std::size_t weight_bytes() const noexcept = 0;

  /// An executor that computes nothing (ops/planner.h): checks shapes and measures the arena, with
  /// what this backend's ops take from it for themselves.
  virtual std::unique_ptr<Executor> make_planner() const;
  /// An executor whose arena holds `arena_bytes`, running on `threads` CPU threads.
  virtual std::unique_ptr<Executor> make_executor(int threads, std::size_t arena_bytes) const = 0;
};

}  // namespace itemcrop::ops
