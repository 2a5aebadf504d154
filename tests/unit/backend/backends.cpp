#include "unit/backend/backends.h"

#include <iostream>

#include "itemcrop/error.h"

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/reference/reference_backend.h"

namespace itemcrop::test {

std::vector<BackendUnderTest> backends_under_test() {
  constexpr float kFp32Tolerance = 1e-5F;
  // Inputs and weights of products keep 8 bits.
  constexpr float kBf16Tolerance = 3e-2F;
  std::vector<BackendUnderTest> backends = {
      {"reference", cpu::make_reference_backend, kFp32Tolerance}};
  try {
    if (cpu::selected_isa() == cpu::Isa::kScalar) return backends;
  } catch (const Error& error) {
    // CMakeLists.txt looks for this line: the run then counts as skipped.
    std::cout << "this machine does not have ITEMCROP_CPU_ISA: " << error.what() << '\n';
    return {};
  }
  backends.push_back(
      {"cpu_fp32", [] { return cpu::make_cpu_backend(Precision::kFp32); }, kFp32Tolerance});
  backends.push_back(
      {"cpu_bf16", [] { return cpu::make_cpu_backend(Precision::kBf16); }, kBf16Tolerance});
  return backends;
}

std::string backend_name(const testing::TestParamInfo<BackendUnderTest>& info) {
  return info.param.name;
}

std::ostream& operator<<(std::ostream& stream, const BackendUnderTest& backend) {
  return stream << backend.name;
}

}  // namespace itemcrop::test
