#pragma once

#include <functional>
#include <iosfwd>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "ops/backend.h"

namespace itemcrop::test {

struct BackendUnderTest {
  std::string name;
  std::function<std::shared_ptr<const ops::Backend>()> make;
  float tolerance;  ///< of one op's values, relative to the largest
};

/// Every backend and precision of this build and machine.
std::vector<BackendUnderTest> backends_under_test();

/// For messages of failed tests.
std::ostream& operator<<(std::ostream& stream, const BackendUnderTest& backend);

/// For INSTANTIATE_TEST_SUITE_P.
std::string backend_name(const testing::TestParamInfo<BackendUnderTest>& info);

}  // namespace itemcrop::test
