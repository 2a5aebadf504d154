// Matrix products by loops: inputs as they were rounded, sums in fp32, as cuBLASLt's. What it
// refuses is what the library may refuse, so that the executor's ways around it are tested.
#include <cmath>
#include <cstdint>
#include <numbers>
#include <vector>

#include "itemcrop/error.h"

#include "backend/cuda/emulation/devices.h"
#include "backend/cuda/emulation/numbers.h"
#include "backend/cuda/products.h"

namespace itemcrop::cuda {
namespace {

float load(const void* data, std::int64_t at, DType type) {
  switch (type) {
    case DType::kF16:
      return f16_to_float(static_cast<const std::uint16_t*>(data)[at]);
    case DType::kBF16:
      return bf16_to_float(static_cast<const std::uint16_t*>(data)[at]);
    default:
      return static_cast<const float*>(data)[at];
  }
}

void store(float value, void* data, std::int64_t at, DType type) {
  switch (type) {
    case DType::kF16:
      static_cast<std::uint16_t*>(data)[at] = emulation::float_to_f16(value);
      return;
    case DType::kBF16:
      static_cast<std::uint16_t*>(data)[at] = float_to_bf16(value);
      return;
    default:
      static_cast<float*>(data)[at] = value;
  }
}

float activated(float x, ops::Activation activation) {
  switch (activation) {
    case ops::Activation::kRelu:
      return std::max(x, 0.0F);
    case ops::Activation::kGelu: {
      const float inner = std::sqrt(2.0F / std::numbers::pi_v<float>) * (x + 0.044715F * x * x * x);
      return 0.5F * x * (1.0F + std::tanh(inner));
    }
    case ops::Activation::kNone:
      break;
  }
  return x;
}

std::vector<float> unpacked(const void* data, std::int64_t rows, std::int64_t cols,
                            std::int64_t stride, DType type) {
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(rows * cols));
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c) values.push_back(load(data, r * stride + c, type));
  }
  return values;
}

bool rows_are_aligned(const void* data, std::int64_t stride, DType type) {
  return reinterpret_cast<std::uintptr_t>(data) % 16 == 0 &&
         stride * static_cast<std::int64_t>(size_of(type)) % 16 == 0;
}

}  // namespace

struct Products::State {
  ProductSettings settings;
};

Products::Products(int /*device*/, const ProductSettings& settings)
    : state_(std::make_unique<State>(State{settings})) {}
Products::~Products() = default;

bool Products::fuses(const Product& p) {
  if (p.residual != nullptr && p.activation != ops::Activation::kNone) return false;
  if (p.activation == ops::Activation::kGelu &&
      (!state_->settings.tanh_gelu || p.operand == DType::kF32)) {
    return false;
  }
  if (p.operand == DType::kF32) return true;
  return rows_are_aligned(p.x, p.x_stride, p.operand) &&
         rows_are_aligned(p.y, p.y_stride, p.result) &&
         (p.residual == nullptr || rows_are_aligned(p.residual, p.residual_stride, p.result));
}

std::vector<ProductTime> Products::measure() { return {}; }

void Products::run(Stream stream, void* /*workspace*/, const Product& p) {
  emulation::require_selected(stream, "multiply matrices");
  if (!fuses(p)) throw Error(ErrorCode::kInternal, "a product that cannot be fused was run");
  const std::vector<float> x = unpacked(p.x, p.rows, p.inputs, p.x_stride, p.operand);
  const std::vector<float> weight =
      unpacked(p.weight, p.outputs, p.inputs, p.weight_stride, p.operand);
  for (std::int64_t r = 0; r < p.rows; ++r) {
    for (std::int64_t o = 0; o < p.outputs; ++o) {
      const float* a = x.data() + r * p.inputs;
      const float* b = weight.data() + o * p.inputs;
      // Several sums, as the device has, in an order of their own.
      constexpr std::int64_t kSums = 8;
      float sums[kSums] = {};
      std::int64_t k = 0;
      for (; k + kSums <= p.inputs; k += kSums) {
        for (std::int64_t i = 0; i < kSums; ++i) sums[i] += a[k + i] * b[k + i];
      }
      for (; k < p.inputs; ++k) sums[0] += a[k] * b[k];
      float sum = 0;
      for (const float part : sums) sum += part;
      if (p.residual != nullptr) sum += load(p.residual, r * p.residual_stride + o, p.result);
      if (p.bias != nullptr) sum += load(p.bias, o, p.result);
      store(activated(sum, p.activation), p.y, r * p.y_stride + o, p.result);
    }
  }
}

}  // namespace itemcrop::cuda
