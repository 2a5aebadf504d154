#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/activation.h"
#include "core/dtype.h"

namespace itemcrop::ops {

using itemcrop::Activation;

/// A weight matrix prepared for products on one backend: y = x W^T + b.
class LinearWeights {
 public:
  virtual ~LinearWeights() = default;

  std::int64_t inputs() const noexcept { return inputs_; }
  std::int64_t outputs() const noexcept { return outputs_; }
  /// What rows x a product takes as they are; others are converted first.
  virtual DType rows_dtype() const noexcept { return DType::kF32; }

 protected:
  LinearWeights(std::int64_t inputs, std::int64_t outputs) : inputs_(inputs), outputs_(outputs) {}

 private:
  std::int64_t inputs_;
  std::int64_t outputs_;
};

/// A small fp32 table in a backend's memory: norm weights, biases, embeddings.
class Constant {
 public:
  virtual ~Constant() = default;

  std::int64_t rows() const noexcept { return rows_; }
  std::int64_t cols() const noexcept { return cols_; }
  /// Address in the backend's memory of rows() * cols() floats.
  const float* data() const noexcept { return data_; }

 protected:
  Constant(std::int64_t rows, std::int64_t cols) : rows_(rows), cols_(cols) {}
  void set_data(const float* data) noexcept { data_ = data; }

 private:
  std::int64_t rows_;
  std::int64_t cols_;
  const float* data_ = nullptr;
};

/// Scale and shift of a layer norm or group norm over `weight->cols()` channels.
struct Norm {
  std::unique_ptr<const Constant> weight;  ///< [1, C]
  std::unique_ptr<const Constant> bias;    ///< [1, C]
  float epsilon = 1e-5F;
};

/// How a weight matrix is to be kept.
enum class WeightPrecision : std::uint8_t {
  kBackend,  ///< the backend's own precision
  kExact,    ///< fp32 whatever the backend's precision: text, cheap and sensitive
  /// fp32 values whose products may round operands to 11 bits (TF32 or fp16) on a backend of 16-bit
  /// activations, where that is ten times quicker: the heads that make boxes.
  kHead,
};

/// One Swin attention block's weights (Swin paper, section 3.2).
struct WindowAttentionWeights {
  Norm norm;
  std::unique_ptr<const LinearWeights> qkv;     ///< C -> 3C, query rows first, then key, then value
  std::unique_ptr<const LinearWeights> output;  ///< C -> C
  std::unique_ptr<const Constant> bias;         ///< relative position bias, [(2w-1)^2, heads]
};

/// A position-wise feed-forward network, with the norms around it.
struct FeedForwardWeights {
  std::unique_ptr<const LinearWeights> up;
  std::unique_ptr<const LinearWeights> down;
  Activation activation = Activation::kRelu;
};

/// Multi-scale deformable attention without its value projection (Deformable DETR, eq. 3).
struct DeformableWeights {
  /// d -> heads * levels * points * 3: all sampling offsets (x, y), then all attention weights,
  /// each ordered head, level, point.
  std::unique_ptr<const LinearWeights> sampling;
  std::unique_ptr<const LinearWeights> output;  ///< d -> d
  Norm norm;                                    ///< after the residual
};

}  // namespace itemcrop::ops
