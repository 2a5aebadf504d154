#include "core/dtype.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include <gtest/gtest.h>

namespace itemcrop {
namespace {

constexpr std::uint32_t kAllHalves = 1U << 16;

std::uint32_t bits(float value) { return std::bit_cast<std::uint32_t>(value); }

/// IEEE 754's definition of a format with 5 exponent bits, by arithmetic instead of by bits.
float half_by_definition(std::uint16_t half) {
  const float sign = (half & 0x8000U) != 0 ? -1.0F : 1.0F;
  const int exponent = (half >> 10) & 0x1F;
  const auto fraction = static_cast<float>(half & 0x3FFU) / 1024.0F;
  if (exponent == 0x1F) {
    return fraction == 0 ? sign * std::numeric_limits<float>::infinity() : std::nanf("");
  }
  if (exponent == 0) return sign * std::ldexp(fraction, -14);
  return sign * std::ldexp(1.0F + fraction, exponent - 15);
}

TEST(DTypeTest, SizesAndNames) {
  EXPECT_EQ(size_of(DType::kF32), 4U);
  EXPECT_EQ(size_of(DType::kF16), 2U);
  EXPECT_EQ(size_of(DType::kBF16), 2U);
  EXPECT_EQ(size_of(DType::kI64), 8U);
  EXPECT_EQ(size_of(DType::kI32), 4U);
  EXPECT_EQ(size_of(DType::kU8), 1U);
  EXPECT_EQ(size_of(DType::kBool), 1U);
  EXPECT_EQ(to_string(DType::kBF16), "BF16");
  EXPECT_EQ(to_string(DType::kBool), "BOOL");
}

TEST(F16ToFloat, IsTheDefinitionForEveryHalf) {
  for (std::uint32_t i = 0; i < kAllHalves; ++i) {
    const auto half = static_cast<std::uint16_t>(i);
    const float expected = half_by_definition(half);
    const float actual = f16_to_float(half);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(actual)) << i;
    } else {
      ASSERT_EQ(bits(actual), bits(expected)) << i;
    }
  }
}

TEST(Bf16, EveryValueSurvivesTheWayThereAndBack) {
  for (std::uint32_t i = 0; i < kAllHalves; ++i) {
    const auto bf16 = static_cast<std::uint16_t>(i);
    const float value = bf16_to_float(bf16);
    ASSERT_EQ(bits(value), i << 16);
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(bf16_to_float(float_to_bf16(value)))) << i;
    } else {
      ASSERT_EQ(float_to_bf16(value), bf16) << i;
    }
  }
}

TEST(FloatToBf16, RoundsToTheNearestAndTiesToEven) {
  // Between every two neighbours: just below, at and just above the middle.
  for (std::uint32_t i = 0; i < kAllHalves; ++i) {
    const float value = bf16_to_float(static_cast<std::uint16_t>(i));
    if (!std::isfinite(value)) continue;
    const std::uint32_t next = i + 1;  // away from zero; may be infinity
    const std::uint32_t even = i % 2 == 0 ? i : next;
    ASSERT_EQ(float_to_bf16(std::bit_cast<float>((i << 16) + 0x7FFFU)), i);
    ASSERT_EQ(float_to_bf16(std::bit_cast<float>((i << 16) + 0x8000U)), even);
    ASSERT_EQ(float_to_bf16(std::bit_cast<float>((i << 16) + 0x8001U)), next);
  }
}

TEST(FloatToBf16, KeepsInfinitiesAndEveryKindOfNan) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(bf16_to_float(float_to_bf16(kInfinity)), kInfinity);
  EXPECT_EQ(bf16_to_float(float_to_bf16(-kInfinity)), -kInfinity);
  // A NaN whose payload lies in the bits that are cut off would else become infinity.
  for (const std::uint32_t nan : {0x7F800001U, 0xFF800001U, 0x7FFFFFFFU, 0x7FC00000U}) {
    EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(std::bit_cast<float>(nan))))) << nan;
  }
}

}  // namespace
}  // namespace itemcrop
