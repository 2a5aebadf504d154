// Every op against values of the reference's own modules (tests/reference/op_goldens.py).

#include <set>
#include <string>

#include <gtest/gtest.h>

#include "unit/backend/backends.h"
#include "unit/backend/compare.h"
#include "unit/backend/op_case.h"
#include "unit/backend/op_runner.h"

namespace itemcrop::test {
namespace {

class Golden : public testing::TestWithParam<BackendUnderTest> {};

TEST_P(Golden, EveryOpAgreesWithTheReference) {
  const std::shared_ptr<const ops::Backend> backend = GetParam().make();
  std::set<std::string> ops;
  for (const auto& [op_case, expected] : read_cases(ITEMCROP_GOLDEN_DIR "/ops/ops.json")) {
    const OpResult result = run_case(op_case, *backend, 2);
    ASSERT_EQ(result.size(), expected.size()) << op_case.op << " " << op_case.name;
    for (const auto& [name, values] : expected) {
      EXPECT_TRUE(close(result.at(name), values, GetParam().tolerance))
          << op_case.op << " " << op_case.name << ", " << name;
    }
    ops.insert(op_case.op);
  }
  EXPECT_EQ(ops.size(), 22U) << "an op has no golden";
}

INSTANTIATE_TEST_SUITE_P(Backends, Golden, testing::ValuesIn(backends_under_test()), backend_name);

}  // namespace
}  // namespace itemcrop::test
