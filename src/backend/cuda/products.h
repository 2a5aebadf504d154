#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "backend/cuda/runtime.h"
#include "core/dtype.h"
#include "ops/weights.h"

namespace itemcrop::cuda {

/// y = activation(x W^T + bias + residual), rows apart by their strides (in elements). Inputs and
/// weights are of one type, sums are fp32.
struct Product {
  const void* x = nullptr;         ///< [rows, inputs], of type `operand`
  const void* weight = nullptr;    ///< [outputs, inputs], of type `operand`
  const void* bias = nullptr;      ///< [outputs], of type `result`; or null
  const void* residual = nullptr;  ///< [rows, outputs], of type `result`; may be y; or null
  void* y = nullptr;               ///< [rows, outputs], of type `result`
  std::int64_t rows = 0;
  std::int64_t outputs = 0;
  std::int64_t inputs = 0;
  std::int64_t x_stride = 0;
  std::int64_t weight_stride = 0;
  std::int64_t residual_stride = 0;
  std::int64_t y_stride = 0;
  DType operand = DType::kF32;
  DType result = DType::kF32;
  bool tf32 = false;  ///< fp32 operands may be rounded to TF32; never otherwise
  ops::Activation activation = ops::Activation::kNone;
};

/// Which algorithm multiplies a shape.
struct ProductSettings {
  /// One algorithm for every number of rows, and none that sums in an order that may change: a
  /// row's result is then the same bits in any batch.
  bool deterministic = false;
  /// The first use of a shape times the likeliest algorithms instead of trusting the library's
  /// estimate. Costs milliseconds a shape.
  bool timed = false;
  /// GELU within products of 16 bits is the library's, by tanh: up to 5e-4 from the exact one, as
  /// much as rounding a value of 1 to fp16. It saves a pass over the widest activations.
  bool tanh_gelu = true;
  /// Shapes that are kept. A new image size brings some fifty; what is forgotten is made again.
  std::size_t max_plans = 4096;
};

/// A shape that was multiplied, and what its algorithm costs.
struct ProductTime {
  Product product;
  std::int64_t uses = 0;
  float milliseconds = 0;       ///< of the algorithm in use
  float best_milliseconds = 0;  ///< of the quickest among the likeliest
};

/// Matrix products of one device. Algorithms are chosen once a shape and kept. Thread-safe.
class Products {
 public:
  Products(int device, const ProductSettings& settings);
  ~Products();
  Products(const Products&) = delete;
  Products& operator=(const Products&) = delete;

  /// Device memory that run() may use, one piece a stream.
  static constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

  /// Whether run() does the whole product at once; otherwise the caller adds bias, activation and
  /// residual itself. Chooses the algorithm, which a graph's recording must not.
  bool fuses(const Product& product);
  void run(Stream stream, void* workspace, const Product& product);

  /// Times every shape used so far, alone on the device; for benchmarks.
  std::vector<ProductTime> measure();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace itemcrop::cuda
