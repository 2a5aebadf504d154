#include "backend/cpu/reference/reference_backend.h"

#include <atomic>
#include <cstddef>
#include <memory>
#include <new>
#include <string>

#include "itemcrop/error.h"

#include "backend/cpu/reference/reference_executor.h"
#include "backend/cpu/reference/reference_weights.h"

namespace itemcrop::cpu::reference {

ReferenceLinear::ReferenceLinear(const ops::HostLinear& host)
    : LinearWeights(host.inputs, host.outputs),
      transposed_(static_cast<std::size_t>(host.inputs * host.outputs)),
      bias_(static_cast<std::size_t>(host.outputs), 0.0F) {
  for (std::int64_t output = 0; output < host.outputs; ++output) {
    for (std::int64_t input = 0; input < host.inputs; ++input) {
      transposed_[static_cast<std::size_t>(input * host.outputs + output)] =
          host.weight[output * host.inputs + input];
    }
  }
  if (host.bias != nullptr) bias_.assign(host.bias, host.bias + host.outputs);
}

ReferenceConstant::ReferenceConstant(const float* host, std::int64_t rows, std::int64_t cols)
    : Constant(rows, cols), values_(host, host + rows * cols) {
  set_data(values_.data());
}

namespace {

[[noreturn]] void throw_out_of_memory(std::int64_t rows, std::int64_t cols) {
  throw Error(ErrorCode::kOutOfMemory, "cannot allocate a weight of " + std::to_string(rows) +
                                           " x " + std::to_string(cols) + " values");
}

class ReferenceBackend final : public ops::Backend {
 public:
  Device device() const noexcept override { return Device::kCpu; }
  Precision precision() const noexcept override { return Precision::kFp32; }
  std::string name() const override { return "cpu (scalar)"; }

  std::unique_ptr<const ops::LinearWeights> make_linear(
      const ops::HostLinear& host, ops::WeightPrecision /*precision*/) const override {
    try {
      auto linear = std::make_unique<const ReferenceLinear>(host);
      weight_bytes_ += linear->bytes();
      return linear;
    } catch (const std::bad_alloc&) {
      throw_out_of_memory(host.outputs, host.inputs);
    }
  }

  std::unique_ptr<const ops::Constant> make_constant(const float* host, std::int64_t rows,
                                                     std::int64_t cols) const override {
    try {
      auto constant = std::make_unique<const ReferenceConstant>(host, rows, cols);
      weight_bytes_ += constant->bytes();
      return constant;
    } catch (const std::bad_alloc&) {
      throw_out_of_memory(rows, cols);
    }
  }

  std::size_t weight_bytes() const noexcept override { return weight_bytes_; }

  std::unique_ptr<ops::Executor> make_executor(int threads,
                                               std::size_t arena_bytes) const override {
    return std::make_unique<ReferenceExecutor>(threads, arena_bytes);
  }

 private:
  mutable std::atomic<std::size_t> weight_bytes_{0};
};

}  // namespace

}  // namespace itemcrop::cpu::reference

namespace itemcrop::cpu {

std::shared_ptr<const ops::Backend> make_reference_backend() {
  return std::make_shared<const reference::ReferenceBackend>();
}

}  // namespace itemcrop::cpu
