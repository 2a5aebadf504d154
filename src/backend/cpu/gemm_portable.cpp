#include <algorithm>
#include <new>
#include <vector>

#include "itemcrop/error.h"

#include "backend/cpu/gemm.h"
#include "backend/cpu/kernels/activation.h"
#include "backend/cpu/kernels/matmul.h"
#include "backend/cpu/kernels/rows.h"

namespace itemcrop::cpu {
namespace {

/// Columns of W^T kept together, [inputs, kPanel] row-major: a kernel reads one panel in order.
constexpr std::int64_t kPanel = 64;

class PortableLinear final : public PackedLinear {
 public:
  PortableLinear(const LinearSource& source, Operand operand);

  std::size_t bytes() const noexcept override {
    return (panels_.size() + bias_.size()) * sizeof(float);
  }
  void multiply(const GemmTile& tile, Workspace& workspace) const override;

 private:
  std::vector<float> panels_;  ///< [outputs / kPanel, inputs, kPanel], zero-padded
  std::vector<float> bias_;
};

PortableLinear::PortableLinear(const LinearSource& source, Operand operand)
    : PackedLinear(source.inputs, source.outputs, operand) {
  const std::int64_t panels = (outputs() + kPanel - 1) / kPanel;
  panels_.resize(static_cast<std::size_t>(panels * inputs() * kPanel + kernels::kMatmulSlack));
  for (std::int64_t first = 0; first < outputs(); first += kPanel) {
    float* panel = panels_.data() + first * inputs();
    const std::int64_t width = std::min(kPanel, outputs() - first);
    for (std::int64_t input = 0; input < inputs(); ++input) {
      const float* column = source.weight + input * source.input_stride;
      for (std::int64_t i = 0; i < width; ++i) {
        panel[input * kPanel + i] = column[(first + i) * source.output_stride];
      }
    }
  }
  if (operand == Operand::kRoundedF32) {
    const auto values = static_cast<std::int64_t>(panels_.size());
    kernels::round_rows(panels_.data(), values, 1, values);
  }
  bias_.resize(static_cast<std::size_t>(outputs()));
  if (source.bias != nullptr) {
    for (std::int64_t i = 0; i < outputs(); ++i) {
      bias_[static_cast<std::size_t>(i)] = source.bias[i * source.bias_stride];
    }
  }
}

void PortableLinear::multiply(const GemmTile& tile, Workspace& /*workspace*/) const {
  kernels::Matmul product;
  product.a = static_cast<const float*>(tile.x);
  product.a_row_stride = tile.x_stride;
  product.b_stride = kPanel;
  product.c_stride = tile.y_stride;
  product.rows = tile.rows;
  product.inner = inputs();
  auto* y = static_cast<float*>(tile.y);
  for (std::int64_t first = 0; first < outputs(); first += kPanel) {
    product.b = panels_.data() + first * inputs();
    product.c = y + first;
    product.cols = std::min(kPanel, outputs() - first);
    kernels::matmul(product);
  }
  kernels::add_bias_and_activate(y, tile.y_stride, tile.rows, outputs(), bias_.data(),
                                 tile.activation);
  if (tile.y_type == Operand::kRoundedF32) {
    kernels::round_rows(y, tile.y_stride, tile.rows, outputs());
  }
}

class PortableEngine final : public GemmEngine {
 public:
  std::unique_ptr<const PackedLinear> pack(const LinearSource& source, bool bf16) const override {
    try {
      return std::make_unique<const PortableLinear>(source,
                                                    bf16 ? Operand::kRoundedF32 : Operand::kF32);
    } catch (const std::bad_alloc&) {
      throw Error(ErrorCode::kOutOfMemory, "cannot allocate the weights of a matrix product");
    }
  }
};

}  // namespace

std::shared_ptr<const GemmEngine> make_portable_gemm_engine() {
  return std::make_shared<const PortableEngine>();
}

}  // namespace itemcrop::cpu
