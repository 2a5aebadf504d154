#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "backend/cpu/isa.h"
#include "backend/cpu/operand.h"
#include "backend/cpu/workspace.h"
#include "ops/weights.h"

namespace itemcrop::cpu {

/// y = activation(x W^T + b) for one tile of rows.
struct GemmTile {
  const void* x = nullptr;  ///< [rows, inputs], elements as PackedLinear::operand() says
  std::int64_t x_stride = 0;
  void* y = nullptr;  ///< [rows, outputs]
  std::int64_t y_stride = 0;
  std::int64_t rows = 0;
  Operand y_type = Operand::kF32;
  ops::Activation activation = ops::Activation::kNone;
};

/// A weight matrix packed for one kind of product. Const and safe to share between threads. A row
/// of y depends on its own row of x only, bit for bit: neither on `rows` nor on its place.
class PackedLinear : public ops::LinearWeights {
 public:
  /// What the elements of x must be.
  Operand operand() const noexcept { return operand_; }
  virtual std::size_t bytes() const noexcept = 0;
  /// Runs on the calling thread alone. Throws Error(kOutOfMemory, kInternal).
  virtual void multiply(const GemmTile& tile, Workspace& workspace) const = 0;

 protected:
  PackedLinear(std::int64_t inputs, std::int64_t outputs, Operand operand)
      : LinearWeights(inputs, outputs), operand_(operand) {}

 private:
  Operand operand_;
};

/// A matrix to pack: weight(output, input) = weight[output * output_stride + input * input_stride].
struct LinearSource {
  const float* weight = nullptr;
  std::int64_t output_stride = 0;
  std::int64_t input_stride = 1;
  const float* bias = nullptr;  ///< or null
  std::int64_t bias_stride = 1;
  std::int64_t outputs = 0;
  std::int64_t inputs = 0;
};

/// Packs weights for the process's instruction set. Const and safe to share between threads.
class GemmEngine {
 public:
  virtual ~GemmEngine() = default;
  /// `bf16`: inputs and weights are rounded to bf16 and products summed in fp32, natively where the
  /// instruction set can, else on fp32 values that hold the same numbers.
  virtual std::unique_ptr<const PackedLinear> pack(const LinearSource& source, bool bf16) const = 0;
};

/// oneDNN where it is built in and knows the instruction set, else portable kernels.
std::shared_ptr<const GemmEngine> make_gemm_engine(Isa isa);

/// Products by this project's own vector kernels (gemm_portable.cpp): always there.
std::shared_ptr<const GemmEngine> make_portable_gemm_engine();

/// Whether bf16 products are native on it, and so faster than fp32.
bool has_bf16_products(Isa isa) noexcept;

/// Keeps the matrix library within it; called once, before its first use.
void limit_gemm_isa(Isa isa) noexcept;

}  // namespace itemcrop::cpu
