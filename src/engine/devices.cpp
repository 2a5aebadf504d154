#include "engine/devices.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/isa.h"
#include "backend/cuda/cuda_backend.h"
#include "core/thread_pool.h"

namespace itemcrop {
namespace {

constexpr std::array kDevices{std::pair{Device::kAuto, "auto"}, std::pair{Device::kCpu, "cpu"},
                              std::pair{Device::kCuda, "cuda"}};
constexpr std::array kPrecisions{
    std::pair{Precision::kAuto, "auto"}, std::pair{Precision::kFp32, "fp32"},
    std::pair{Precision::kBf16, "bf16"}, std::pair{Precision::kFp16, "fp16"}};

template <class Words>
auto parse(const Words& words, std::string_view word, const char* field) {
  std::string accepted;
  for (const auto& [value, name] : words) {
    if (word == name) return value;
    accepted += (accepted.empty() ? "" : ", ") + std::string(name);
  }
  throw Error(ErrorCode::kInvalidArgument, std::string(field) + " must be one of " + accepted +
                                               ", got \"" + std::string(word) + "\"");
}

template <class Words, class Value>
std::string_view name_of(const Words& words, Value value) noexcept {
  for (const auto& [candidate, name] : words) {
    if (candidate == value) return name;
  }
  return "auto";
}

}  // namespace

std::string_view to_string(Device device) noexcept { return name_of(kDevices, device); }
std::string_view to_string(Precision precision) noexcept { return name_of(kPrecisions, precision); }
Device parse_device(std::string_view word) { return parse(kDevices, word, "device"); }
Precision parse_precision(std::string_view word) { return parse(kPrecisions, word, "precision"); }

std::vector<DeviceInfo> list_devices() {
  DeviceInfo cpu;
  cpu.device = Device::kCpu;
  cpu.usable = true;
  cpu.precisions = {Precision::kFp32, Precision::kBf16};
  try {
    const cpu::Isa isa = cpu::selected_isa();
    if (isa == cpu::Isa::kScalar) cpu.precisions = {Precision::kFp32};
    cpu.name = "cpu (" + std::string(cpu::to_string(isa)) + ")";
    cpu.detail = std::to_string(hardware_threads()) + " threads, fastest precision " +
                 std::string(to_string(cpu::native_precision(isa)));
  } catch (const Error& error) {
    cpu.usable = false;
    cpu.name = "cpu";
    cpu.detail = error.what();
  }
  std::vector<DeviceInfo> devices{cpu};
  std::ranges::move(cuda::list_devices(), std::back_inserter(devices));
  return devices;
}

}  // namespace itemcrop

namespace itemcrop::engine {

BackendSpec resolve_backend(const DetectOptions& options) {
  BackendSpec spec{options.device, options.device_index, options.precision, options.deterministic};
  if (spec.device == Device::kAuto) {
    const std::vector<DeviceInfo> gpus = cuda::list_devices();
    const bool usable = std::ranges::any_of(gpus, [&](const DeviceInfo& gpu) {
      return gpu.usable && gpu.index == options.device_index;
    });
    spec.device = usable ? Device::kCuda : Device::kCpu;
  }
  if (spec.device == Device::kCpu) {
    spec.index = 0;
    spec.deterministic = false;
  }
  if (spec.precision == Precision::kAuto) {
    spec.precision = spec.device == Device::kCuda ? Precision::kFp16
                                                  : cpu::native_precision(cpu::selected_isa());
  }
  return spec;
}

std::shared_ptr<const ops::Backend> make_backend(const BackendSpec& spec) {
  if (spec.device == Device::kCuda) {
    return cuda::make_cuda_backend(spec.index, spec.precision, spec.deterministic);
  }
  return cpu::make_cpu_backend(spec.precision);
}

}  // namespace itemcrop::engine
