#pragma once

#include <gtest/gtest.h>

#include "unit/backend/op_case.h"

namespace itemcrop::test {

/// Whether shapes are equal, and values up to `tolerance` times the largest finite one of
/// `expected` (at least 1); infinities and NaN must be equal. Names the worst value otherwise.
testing::AssertionResult close(const HostMatrix& actual, const HostMatrix& expected,
                               float tolerance);

/// Whether all bits are equal, NaN included.
testing::AssertionResult identical(const HostMatrix& actual, const HostMatrix& expected);

}  // namespace itemcrop::test
