#include "unit/backend/compare.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace itemcrop::test {
namespace {

testing::AssertionResult same_shape(const HostMatrix& actual, const HostMatrix& expected) {
  if (actual.rows == expected.rows && actual.cols == expected.cols) {
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure() << actual.rows << " x " << actual.cols << " instead of "
                                     << expected.rows << " x " << expected.cols;
}

testing::AssertionResult differ(const HostMatrix& actual, const HostMatrix& expected,
                                std::size_t at) {
  const auto cols = static_cast<std::size_t>(expected.cols);
  return testing::AssertionFailure() << "row " << at / cols << ", column " << at % cols << ": "
                                     << actual.values[at] << " instead of " << expected.values[at];
}

}  // namespace

testing::AssertionResult close(const HostMatrix& actual, const HostMatrix& expected,
                               float tolerance) {
  if (const testing::AssertionResult same = same_shape(actual, expected); !same) return same;
  float scale = 1.0F;
  for (const float value : expected.values) {
    if (std::isfinite(value)) scale = std::max(scale, std::abs(value));
  }
  std::size_t worst = 0;
  float worst_error = 0;
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    const float a = actual.values[i];
    const float b = expected.values[i];
    if (std::isnan(a) != std::isnan(b)) return differ(actual, expected, i);
    if (a == b || std::isnan(b)) continue;
    const float error = std::abs(a - b);
    if (error > worst_error) {
      worst_error = error;
      worst = i;
    }
  }
  if (worst_error <= tolerance * scale) return testing::AssertionSuccess();
  return differ(actual, expected, worst) << " (largest " << scale << ")";
}

testing::AssertionResult identical(const HostMatrix& actual, const HostMatrix& expected) {
  if (const testing::AssertionResult same = same_shape(actual, expected); !same) return same;
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    if (std::bit_cast<std::uint32_t>(actual.values[i]) !=
        std::bit_cast<std::uint32_t>(expected.values[i])) {
      return differ(actual, expected, i);
    }
  }
  return testing::AssertionSuccess();
}

}  // namespace itemcrop::test
