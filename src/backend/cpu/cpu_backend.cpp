#include "backend/cpu/cpu_backend.h"

#include <atomic>
#include <new>
#include <string>
#include <vector>

#include "itemcrop/error.h"

#include "backend/cpu/executor.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/reference/reference_backend.h"

namespace itemcrop::cpu {
namespace {

class CpuConstant final : public ops::Constant {
 public:
  CpuConstant(const float* host, std::int64_t rows, std::int64_t cols)
      : Constant(rows, cols), values_(host, host + rows * cols) {
    set_data(values_.data());
  }
  std::size_t bytes() const noexcept { return values_.size() * sizeof(float); }

 private:
  std::vector<float> values_;
};

class CpuBackend final : public ops::Backend {
 private:
  bool bf16_products() const noexcept { return precision_ == Precision::kBf16; }

  /// Makes a weight and adds its bytes; a failed allocation becomes this library's error.
  template <class F>
  auto count(std::int64_t rows, std::int64_t cols, F&& make) const {
    try {
      auto weight = make();
      weight_bytes_ += weight->bytes();
      return weight;
    } catch (const std::bad_alloc&) {
      throw Error(ErrorCode::kOutOfMemory, "cannot allocate a weight of " + std::to_string(rows) +
                                               " x " + std::to_string(cols) + " values");
    }
  }

 public:
  CpuBackend(Isa isa, Precision precision)
      : isa_(isa), precision_(precision), gemm_(make_gemm_engine(isa)) {}

  Device device() const noexcept override { return Device::kCpu; }
  Precision precision() const noexcept override { return precision_; }
  std::string name() const override { return "cpu (" + std::string(to_string(isa_)) + ")"; }

  std::unique_ptr<const ops::LinearWeights> make_linear(
      const ops::HostLinear& host, ops::WeightPrecision precision) const override {
    const LinearSource source{.weight = host.weight,
                              .output_stride = host.inputs,
                              .bias = host.bias,
                              .outputs = host.outputs,
                              .inputs = host.inputs};
    const bool bf16 = bf16_products() && precision == ops::WeightPrecision::kBackend;
    return count(host.outputs, host.inputs, [&] { return gemm_->pack(source, bf16); });
  }

  std::unique_ptr<const ops::Constant> make_constant(const float* host, std::int64_t rows,
                                                     std::int64_t cols) const override {
    return count(rows, cols, [&] { return std::make_unique<const CpuConstant>(host, rows, cols); });
  }

  std::size_t weight_bytes() const noexcept override { return weight_bytes_; }

  std::unique_ptr<ops::Executor> make_executor(int threads,
                                               std::size_t arena_bytes) const override {
    return std::make_unique<CpuExecutor>(gemm_, bf16_products(), threads, arena_bytes);
  }

 private:
  Isa isa_;
  Precision precision_;
  std::shared_ptr<const GemmEngine> gemm_;
  mutable std::atomic<std::size_t> weight_bytes_{0};
};

}  // namespace

std::shared_ptr<const ops::Backend> make_cpu_backend(Precision precision) {
  if (precision == Precision::kFp16) {
    throw Error(ErrorCode::kUnsupportedDevice, "precision fp16 is not available on the CPU");
  }
  const Isa isa = selected_isa();
  if (isa == Isa::kScalar) return make_reference_backend();
  if (precision == Precision::kAuto) precision = native_precision(isa);
  return std::make_shared<const CpuBackend>(isa, precision);
}

}  // namespace itemcrop::cpu
