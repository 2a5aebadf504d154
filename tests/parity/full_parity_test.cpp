#include <string>

#include <gtest/gtest.h>

#include "parity/parity_case.h"

namespace itemcrop::test {
namespace {

// The published shapes with procedural weights: 0.7 to 1.4 GB of weights, minutes on two cores.
class FullParity : public testing::TestWithParam<std::string> {
 protected:
  static void TearDownTestSuite() { release_procedural_engine(); }

  static CaseGolden golden() { return load_case(GetParam()); }
  static const engine::Engine& engine() {
    return procedural_engine(GetParam().substr(0, GetParam().find('/')));
  }
};

TEST_P(FullParity, Fp32) {
  DetectOptions options;
  options.device = Device::kCpu;
  options.precision = Precision::kFp32;
  expect_parity(golden(), run_case(engine(), golden(), options), kFp32);
}

std::string test_name(const testing::TestParamInfo<std::string>& tested) {
  std::string name = tested.param;
  name[name.find('/')] = '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(Tiny, FullParity,
                         testing::Values("tiny/small_one", "tiny/small_items", "tiny/small_long",
                                         "tiny/small_batch", "tiny/large_one", "tiny/large_items",
                                         "tiny/large_long"),
                         test_name);
INSTANTIATE_TEST_SUITE_P(Base, FullParity,
                         testing::Values("base/small_one", "base/small_items", "base/small_long",
                                         "base/small_batch", "base/large_one", "base/large_items",
                                         "base/large_long"),
                         test_name);
INSTANTIATE_TEST_SUITE_P(MmTiny, FullParity,
                         testing::Values("mm_tiny/small_items", "mm_tiny/small_long",
                                         "mm_tiny/small_batch", "mm_tiny/large_one"),
                         test_name);
INSTANTIATE_TEST_SUITE_P(MmLarge, FullParity, testing::Values("mm_large/small_items"), test_name);

}  // namespace
}  // namespace itemcrop::test
