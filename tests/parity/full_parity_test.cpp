#include <string>

#include <gtest/gtest.h>

#include "parity/parity_case.h"

namespace itemcrop::test {
namespace {

// The published shapes with procedural weights: 0.7 to 1.4 GB of weights, minutes on two cores.
class FullParity : public ParityTest {};

TEST_P(FullParity, Fp32) {
  DetectOptions options;
  options.device = Device::kCpu;
  options.precision = Precision::kFp32;
  expect_parity(golden(), run_case(engine(), golden(), options), kFp32);
}

INSTANTIATE_TEST_SUITE_P(Tiny, FullParity, kTinyCases, case_name);
INSTANTIATE_TEST_SUITE_P(Base, FullParity, kBaseCases, case_name);
INSTANTIATE_TEST_SUITE_P(MmTiny, FullParity, kMmTinyCases, case_name);
INSTANTIATE_TEST_SUITE_P(MmLarge, FullParity, testing::Values("mm_large/small_items"), case_name);

}  // namespace
}  // namespace itemcrop::test
