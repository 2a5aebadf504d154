#pragma once

#include <memory>
#include <vector>

#include "itemcrop/model.h"

#include "backend/cuda/device.h"
#include "backend/cuda/executor.h"
#include "ops/backend.h"

namespace itemcrop::cuda {

/// What the module offers; cuda_backend.h is what the engine sees of it.

/// Devices of this process, or one entry that says why there is none. Never throws.
std::vector<DeviceInfo> devices();

class CudaBackend final : public ops::Backend {
 public:
  /// kFp32, kFp16 or kBf16. Throws Error(kUnsupportedDevice).
  CudaBackend(int index, Precision precision, const Tuning& tuning);

  Device device() const noexcept override { return Device::kCuda; }
  Precision precision() const noexcept override { return precision_; }
  std::string name() const override { return state_->properties.name; }

  std::unique_ptr<const ops::LinearWeights> make_linear(
      const ops::HostLinear& host, ops::WeightPrecision precision) const override;
  std::unique_ptr<const ops::Constant> make_constant(const float* host, std::int64_t rows,
                                                     std::int64_t cols) const override;
  std::size_t weight_bytes() const noexcept override { return state_->weights.bytes(); }
  std::unique_ptr<ops::Executor> make_planner() const override;
  std::unique_ptr<ops::Executor> make_executor(int threads, std::size_t arena_bytes) const override;

  /// make_executor() with its own type.
  std::unique_ptr<CudaExecutor> make_cuda_executor(std::size_t arena_bytes, int threads = 1) const;
  Products& products() const noexcept { return state_->products; }

 private:
  Precision precision_;
  std::shared_ptr<const DeviceState> state_;
};

}  // namespace itemcrop::cuda
