#include "backend/cuda/backend.h"

#include <string>

#include "itemcrop/error.h"

#include "backend/cuda/executor.h"

namespace itemcrop::cuda {
namespace {

/// Kernels are built for 8.0 (Ampere) and later: the first with bf16.
constexpr int kOldestMajor = 8;

DType activations_of(Precision precision) {
  switch (precision) {
    case Precision::kBf16:
      return DType::kBF16;
    case Precision::kFp32:
      return DType::kF32;
    default:
      return DType::kF16;
  }
}

std::string capability_text(const DeviceProperties& properties) {
  return std::to_string(properties.major) + "." + std::to_string(properties.minor);
}

DeviceInfo no_device(std::string why) {
  return {.device = Device::kCuda,
          .index = 0,
          .name = "cuda",
          .usable = false,
          .detail = std::move(why),
          .precisions = {}};
}

DeviceInfo describe(int index) {
  DeviceInfo info{.device = Device::kCuda,
                  .index = index,
                  .name = "cuda:" + std::to_string(index),
                  .usable = false,
                  .detail = {},
                  .precisions = {}};
  try {
    const DeviceProperties properties = device_properties(index);
    info.name = properties.name;
    if (properties.major < kOldestMajor) {
      info.detail = "compute capability " + capability_text(properties) + ", 8.0 is needed";
      return info;
    }
    info.usable = true;
    info.detail = "compute capability " + capability_text(properties) + ", " +
                  std::to_string(properties.memory_bytes >> 20) + " MiB, driver for CUDA " +
                  driver_version();
    info.precisions = {Precision::kFp16, Precision::kBf16, Precision::kFp32};
  } catch (const Error& error) {
    info.detail = error.what();
  }
  return info;
}

std::shared_ptr<const DeviceState> make_state(int index, Precision precision,
                                              const Tuning& tuning) {
  const std::vector<DeviceInfo> all = devices();
  const auto refuse = [](const std::string& why) {
    throw Error(ErrorCode::kUnsupportedDevice, "device \"cuda\" cannot be used: " + why);
  };
  if (static_cast<std::size_t>(index) >= all.size()) {
    refuse("there are " + std::to_string(all.size()) + " GPUs, so the last is cuda:" +
           std::to_string(all.size() - 1) + ", not cuda:" + std::to_string(index));
  }
  const DeviceInfo& info = all[static_cast<std::size_t>(index)];
  if (!info.usable) refuse(info.detail);
  return std::make_shared<const DeviceState>(index, activations_of(precision), tuning);
}

}  // namespace

std::vector<DeviceInfo> devices() {
  try {
    if (const std::string why = why_no_device(); !why.empty()) return {no_device(why)};
    std::vector<DeviceInfo> result;
    const int count = device_count();
    for (int i = 0; i < count; ++i) result.push_back(describe(i));
    return result;
  } catch (const Error& error) {
    return {no_device(error.what())};
  }
}

CudaBackend::CudaBackend(int index, Precision precision, const Tuning& tuning)
    : precision_(precision == Precision::kAuto ? Precision::kFp16 : precision),
      state_(make_state(index, precision, tuning)) {}

std::unique_ptr<const ops::LinearWeights> CudaBackend::make_linear(
    const ops::HostLinear& host, ops::WeightPrecision precision) const {
  return state_->weights.add_linear(host, precision);
}

std::unique_ptr<const ops::Constant> CudaBackend::make_constant(const float* host,
                                                                std::int64_t rows,
                                                                std::int64_t cols) const {
  return state_->weights.add_constant(host, rows, cols);
}

std::unique_ptr<ops::Executor> CudaBackend::make_planner() const {
  return std::make_unique<CudaExecutor>(state_, CudaExecutor::DryRun{});
}

std::unique_ptr<ops::Executor> CudaBackend::make_executor(int threads,
                                                          std::size_t arena_bytes) const {
  return make_cuda_executor(arena_bytes, threads);
}

std::unique_ptr<CudaExecutor> CudaBackend::make_cuda_executor(std::size_t arena_bytes,
                                                              int threads) const {
  return std::make_unique<CudaExecutor>(state_, arena_bytes, threads);
}

}  // namespace itemcrop::cuda
