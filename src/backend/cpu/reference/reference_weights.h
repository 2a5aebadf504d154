#pragma once

#include <cstdint>
#include <vector>

#include "ops/backend.h"
#include "ops/weights.h"

namespace itemcrop::cpu::reference {

/// A weight matrix kept transposed, [inputs, outputs], so that a product's inner loop runs over
/// outputs, which are contiguous.
class ReferenceLinear final : public ops::LinearWeights {
 public:
  explicit ReferenceLinear(const ops::HostLinear& host);

  const float* row(std::int64_t input) const noexcept {
    return transposed_.data() + input * outputs();
  }
  /// [outputs]; zeros where the layer has no bias.
  const float* bias() const noexcept { return bias_.data(); }
  std::size_t bytes() const noexcept { return (transposed_.size() + bias_.size()) * sizeof(float); }

 private:
  std::vector<float> transposed_;
  std::vector<float> bias_;
};

class ReferenceConstant final : public ops::Constant {
 public:
  ReferenceConstant(const float* host, std::int64_t rows, std::int64_t cols);

  std::size_t bytes() const noexcept { return values_.size() * sizeof(float); }

 private:
  std::vector<float> values_;
};

}  // namespace itemcrop::cpu::reference
