// The GPU backend, linked with a real device or with the emulated one.
#include "backend/cuda/backend.h"
#include "unit/backend/backends.h"

namespace itemcrop::test {

std::vector<BackendUnderTest> backends_under_test() {
  const auto make = [](Precision precision, const cuda::Tuning& tuning) {
    return [=]() -> std::shared_ptr<const ops::Backend> {
      return std::make_shared<const cuda::CudaBackend>(0, precision, tuning);
    };
  };
  // Relative to the largest value: sums in another order; 11 and 8 bits of inputs, weights and
  // what lies between the kernels of an op.
  constexpr float kFp32Tolerance = 1e-5F;
  constexpr float kFp16Tolerance = 5e-3F;
  constexpr float kBf16Tolerance = 4e-2F;
  // A batch may multiply by another algorithm than its images alone; not with this.
  cuda::Tuning deterministic;
  deterministic.products.deterministic = true;
  // So small that ops run in several pieces.
  deterministic.piece_bytes = std::size_t{1} << 15;
  return {{"cuda_fp32", make(Precision::kFp32, deterministic), kFp32Tolerance},
          {"cuda_fp16", make(Precision::kFp16, deterministic), kFp16Tolerance},
          {"cuda_bf16", make(Precision::kBf16, deterministic), kBf16Tolerance}};
}

std::string backend_name(const testing::TestParamInfo<BackendUnderTest>& info) {
  return info.param.name;
}

std::ostream& operator<<(std::ostream& stream, const BackendUnderTest& backend) {
  return stream << backend.name;
}

}  // namespace itemcrop::test
