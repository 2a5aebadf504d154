#include "cli/tensor_check.h"

#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>

#include <gtest/gtest.h>

#include "itemcrop/error.h"

#include "support/temporary_folder.h"

namespace itemcrop::cli {
namespace {

/// model.safetensors with an F32, an F16, a BF16 and an I64 tensor of two values each.
std::string checkpoint(float f32, std::uint16_t f16, std::uint16_t bf16) {
  std::string header = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                       R"("b":{"dtype":"F16","shape":[2],"data_offsets":[8,12]},)"
                       R"("c":{"dtype":"BF16","shape":[2],"data_offsets":[12,16]},)"
                       R"("d":{"dtype":"I64","shape":[2],"data_offsets":[16,32]}})";
  while (header.size() % 8 != 0) header += ' ';
  const std::uint64_t length = header.size();
  std::string data(32, '\0');
  std::memcpy(data.data() + 4, &f32, 4);
  std::memcpy(data.data() + 10, &f16, 2);
  std::memcpy(data.data() + 14, &bf16, 2);
  std::memset(data.data() + 16, 0xff, 16);  // integers are never "not finite"
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file + header + data;
}

std::vector<std::string> not_finite(float f32, std::uint16_t f16, std::uint16_t bf16) {
  const test::TemporaryFolder folder;
  folder.write("model.safetensors", checkpoint(f32, f16, bf16));
  const TensorCheck check = check_tensors(folder.path());
  EXPECT_EQ(check.tensors, 4);
  EXPECT_EQ(check.values, 8);
  return check.not_finite;
}

TEST(CheckTensors, FindsNanAndInfinityInEveryFormat) {
  using TensorNames = std::vector<std::string>;
  constexpr std::uint16_t kLargestF16 = 0x7BFF;
  constexpr std::uint16_t kLargestBf16 = 0x7F7F;
  const float largest = std::numeric_limits<float>::max();
  EXPECT_EQ(not_finite(largest, kLargestF16, kLargestBf16), TensorNames{});
  EXPECT_EQ(not_finite(std::numeric_limits<float>::quiet_NaN(), 0, 0), TensorNames{"a"});
  EXPECT_EQ(not_finite(-std::numeric_limits<float>::infinity(), 0, 0), TensorNames{"a"});
  EXPECT_EQ(not_finite(0, 0x7C00, 0), TensorNames{"b"});
  EXPECT_EQ(not_finite(0, 0xFE01, 0), TensorNames{"b"});
  EXPECT_EQ(not_finite(0, 0, 0xFF80), TensorNames{"c"});
  EXPECT_EQ(not_finite(0, 0, 0x7FC0), TensorNames{"c"});
}

TEST(CheckTensors, NeedsACheckpoint) {
  const test::TemporaryFolder folder;
  EXPECT_THROW(check_tensors(folder.path()), Error);
}

}  // namespace
}  // namespace itemcrop::cli
