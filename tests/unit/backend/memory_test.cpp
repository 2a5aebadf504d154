// Matrices, copies between host and backend, and the accounting of memory.

#include <cmath>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "itemcrop/error.h"

#include "unit/backend/backends.h"

namespace itemcrop::test {
namespace {

constexpr std::size_t kArenaBytes = 1 << 16;

class Memory : public testing::TestWithParam<BackendUnderTest> {
 protected:
  void SetUp() override {
    backend_ = GetParam().make();
    executor_ = backend_->make_executor(2, kArenaBytes);
  }

  std::vector<float> downloaded(const ops::Matrix& matrix) {
    std::vector<float> values(static_cast<std::size_t>(matrix.rows * matrix.cols));
    executor_->download(matrix, values.data());
    return values;
  }

  std::shared_ptr<const ops::Backend> backend_;
  std::unique_ptr<ops::Executor> executor_;
};

TEST_P(Memory, MatricesAreAlignedAndDoNotOverlap) {
  const ops::Matrix a = executor_->allocate(3, 5);
  const ops::Matrix b = executor_->allocate(2, 7);
  EXPECT_EQ(a.rows, 3);
  EXPECT_EQ(a.cols, 5);
  EXPECT_EQ(a.stride, 5);
  EXPECT_EQ(a.dtype, executor_->activation_dtype());
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a.data) % 64, 0U);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(b.data) % 64, 0U);
  const std::vector<float> ones(15, 1.0F);
  const std::vector<float> twos(14, 2.0F);
  executor_->upload(ones.data(), a);
  executor_->upload(twos.data(), b);
  EXPECT_EQ(downloaded(a), ones);
  EXPECT_EQ(downloaded(b), twos);
}

TEST_P(Memory, ScopesGiveMemoryBackAndThePeakRemembers) {
  const std::size_t before = executor_->peak_bytes();
  const void* first = nullptr;
  {
    const ops::ArenaScope scope(*executor_);
    first = executor_->allocate(10, 10).data;
  }
  const std::size_t peak = executor_->peak_bytes();
  EXPECT_GE(peak, before + 100 * size_of(executor_->activation_dtype()));
  EXPECT_EQ(executor_->allocate(5, 5).data, first);
  EXPECT_EQ(executor_->peak_bytes(), peak);
}

TEST_P(Memory, MoreThanTheArenaIsAnError) {
  executor_->allocate(100, 100, DType::kF32);
  try {
    executor_->allocate(100, 100, DType::kF32);
    FAIL() << "80,000 bytes fitted into " << kArenaBytes;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInternal);
  }
}

TEST_P(Memory, CopiesKeepToTheirColumns) {
  const ops::Matrix wide = executor_->allocate(3, 4);
  executor_->upload(std::vector<float>(12, 9.0F).data(), wide);
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  executor_->upload(values.data(), wide.column_range(1, 2));
  EXPECT_EQ(downloaded(wide), (std::vector<float>{9, 1, 2, 9, 9, 3, 4, 9, 9, 5, 6, 9}));
  EXPECT_EQ(downloaded(wide.column_range(1, 2)), values);

  const ops::Matrix copy = executor_->allocate(2, 4);
  executor_->upload(std::vector<float>(8, 7.0F).data(), copy);
  executor_->run(ops::Copy{wide.column_range(1, 2).row_range(1, 2), copy.column_range(2, 2)});
  EXPECT_EQ(downloaded(copy), (std::vector<float>{7, 7, 3, 4, 7, 7, 5, 6}));
}

TEST_P(Memory, AssignsATable) {
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  const auto table = backend_->make_constant(values.data(), 2, 3);
  const ops::Matrix y = executor_->allocate(2, 3);
  executor_->run(ops::Assign{*table, y});
  EXPECT_EQ(downloaded(y), values);
}

TEST_P(Memory, IndicesComeBackExactly) {
  const std::vector<std::int32_t> values = {0, -1, 1 << 30, 16777217};
  const ops::Matrix indices = executor_->allocate(4, 1, DType::kI32);
  executor_->upload_indices(values, indices);
  std::vector<std::int32_t> back(4);
  executor_->download_indices(indices, back.data());
  EXPECT_EQ(back, values);
}

TEST_P(Memory, OpsMayWriteOverTheirInput) {
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  const ops::Matrix a = executor_->allocate(2, 3);
  const ops::Matrix b = executor_->allocate(2, 3);
  executor_->upload(values.data(), a);
  executor_->upload(values.data(), b);
  executor_->run(ops::Add{a, b, b});
  EXPECT_EQ(downloaded(b), (std::vector<float>{2, 4, 6, 8, 10, 12}));
  executor_->run(ops::Add{b, a, b});
  EXPECT_EQ(downloaded(b), (std::vector<float>{3, 6, 9, 12, 15, 18}));
  const std::vector<float> factors = {1, 0, -1};
  const auto scale = backend_->make_constant(factors.data(), 1, 3);
  executor_->run(ops::AddScaled{a, *scale, b, a});
  EXPECT_EQ(downloaded(a), (std::vector<float>{4, 2, -6, 16, 5, -12}));
}

TEST_P(Memory, TheBackendCountsItsWeights) {
  const std::size_t before = backend_->weight_bytes();
  const std::vector<float> values(64 * 64, 0.5F);
  const auto constant = backend_->make_constant(values.data(), 64, 64);
  EXPECT_EQ(backend_->weight_bytes(), before + 64 * 64 * sizeof(float));
  const auto linear =
      backend_->make_linear({values.data(), nullptr, 64, 64}, ops::WeightPrecision::kBackend);
  EXPECT_GE(backend_->weight_bytes(), before + 64 * 64 * (sizeof(float) + 2));
  EXPECT_EQ(linear->inputs(), 64);
  EXPECT_EQ(linear->outputs(), 64);
}

TEST_P(Memory, ExactWeightsAreNotRounded) {
  // 1 + 2^-12 is 1 in bf16 and in fp16.
  const std::vector<float> values(32 * 32, 1.0F + 0x1p-12F);
  const auto linear =
      backend_->make_linear({values.data(), nullptr, 32, 32}, ops::WeightPrecision::kExact);
  const ops::Matrix x = executor_->allocate(1, 32, DType::kF32);
  const ops::Matrix y = executor_->allocate(1, 32, DType::kF32);
  executor_->upload(values.data(), x);
  executor_->run(ops::Linear{x, *linear, y});
  for (const float value : downloaded(y)) {
    EXPECT_NEAR(value, 32.0F * (1.0F + 0x1p-12F) * (1.0F + 0x1p-12F), 1e-4F);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Memory, testing::ValuesIn(backends_under_test()), backend_name);

}  // namespace
}  // namespace itemcrop::test
