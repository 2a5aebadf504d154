// What only the GPU's executor does: recorded work, dry runs, faults.
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <thread>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "itemcrop/error.h"

#include "backend/cuda/backend.h"
#ifndef ITEMCROP_ON_DEVICE
#include "backend/cuda/emulation/devices.h"
#include "backend/cuda/emulation/faults.h"
#endif
#include "backend/cuda/emulation/numbers.h"
#include "backend/cuda/kernels/feed_forward.h"
#include "backend/cuda/kernels/plan.h"
#include "backend/cuda/overlap.h"
#include "backend/cuda/pieces.h"
#include "backend/cuda/staging.h"
#include "support/forwarding_backend.h"
#include "unit/backend/op_rig.h"
#include "unit/backend/op_runner.h"
#include "unit/backend/random_cases.h"

namespace itemcrop::test {
namespace {

using cuda::CudaBackend;
using cuda::CudaExecutor;
using ops::Matrix;

constexpr std::size_t kArenaBytes = std::size_t{4} << 20;

std::vector<float> counting(std::size_t count, float first) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), first);
  return values;
}

/// Some calls' worth of work: y = x + x + ... of what was uploaded.
std::vector<float> doubled(CudaExecutor& executor, const std::vector<float>& values, int times) {
  const ops::ArenaScope scope(executor);
  const auto cols = static_cast<std::int64_t>(values.size());
  const Matrix x = executor.allocate(1, cols, DType::kF32);
  executor.upload(values.data(), x);
  for (int i = 0; i < times; ++i) executor.run(ops::Add{x, x, x});
  std::vector<float> result(values.size());
  executor.download(x, result.data());
  return result;
}

TEST(Graphs, RepeatedWorkIsRecordedAndReadsWhatIsNew) {
  const CudaBackend backend(0, Precision::kFp32, {});
  const auto executor = backend.make_cuda_executor(kArenaBytes);
  for (int run = 0; run < 4; ++run) {
    const std::vector<float> values = counting(50, static_cast<float>(run));
    std::vector<float> expected;
    for (const float value : values) expected.push_back(value * 1024);
    EXPECT_EQ(doubled(*executor, values, 10), expected) << "run " << run;
    EXPECT_EQ(executor->graphs().graphs(), run >= 1 ? 1U : 0U);
    EXPECT_EQ(executor->graphs().launches(), static_cast<std::uint64_t>(run));
  }
}

TEST(Graphs, OtherShapesAreOtherWork) {
  const CudaBackend backend(0, Precision::kFp32, {});
  const auto executor = backend.make_cuda_executor(kArenaBytes);
  for (int run = 0; run < 3; ++run) {
    for (const std::size_t count : {8U, 9U, 300U}) {
      const std::vector<float> result = doubled(*executor, counting(count, 1.0F), 10);
      ASSERT_EQ(result.size(), count);
      EXPECT_EQ(result.back(), 1024 * static_cast<float>(count));
    }
  }
  EXPECT_EQ(executor->graphs().graphs(), 3U);
}

TEST(Graphs, AreBounded) {
  cuda::Tuning tuning;
  tuning.graphs = 2;
  const CudaBackend backend(0, Precision::kFp32, tuning);
  const auto executor = backend.make_cuda_executor(kArenaBytes);
  for (int run = 0; run < 3; ++run) {
    for (const std::size_t count : {8U, 9U, 10U, 11U}) {
      EXPECT_EQ(doubled(*executor, counting(count, 0.0F), 10).size(), count);
      EXPECT_LE(executor->graphs().graphs(), 2U);
    }
  }
}

TEST(Graphs, LongWorkIsSentInSeveral) {
  const CudaBackend backend(0, Precision::kFp32, {});
  const auto executor = backend.make_cuda_executor(kArenaBytes);
  for (int run = 0; run < 3; ++run) {
    const std::vector<float> result = doubled(*executor, std::vector<float>(5, 0x1p-126F), 250);
    EXPECT_EQ(result, std::vector<float>(5, 0x1p124F));
  }
  EXPECT_GT(executor->graphs().graphs(), 1U);
}

/// x W^T + b with W[o, i] = o + 1 everywhere and b[o] = o.
std::vector<float> product_of_ones(const std::vector<float>& sums, int outputs) {
  std::vector<float> result;
  for (const float sum : sums) {
    for (int o = 0; o < outputs; ++o) {
      result.push_back(static_cast<float>(o + 1) * sum + static_cast<float>(o));
    }
  }
  return result;
}

TEST(SmallProducts, RunInOrderWhereOneReadsAnother) {
  const CudaBackend backend(0, Precision::kFp16, {});
  const auto executor = backend.make_cuda_executor(kArenaBytes);
  constexpr int kWidth = 36;
  std::vector<float> weight;
  std::vector<float> bias;
  for (int o = 0; o < kWidth; ++o) {
    weight.insert(weight.end(), kWidth, static_cast<float>(o + 1));
    bias.push_back(static_cast<float>(o));
  }
  const auto linear = backend.make_linear({weight.data(), bias.data(), kWidth, kWidth},
                                          ops::WeightPrecision::kExact);
  const auto vector = backend.make_constant(weight.data(), 1, kWidth);
  for (const int rows : {1, 5, 40}) {
    const ops::ArenaScope scope(*executor);
    const auto count = static_cast<std::size_t>(rows);
    const Matrix x = executor->allocate(rows, kWidth, DType::kF32);
    const Matrix both = executor->allocate(rows, 2 * kWidth, DType::kF32);
    const Matrix left = both.column_range(0, kWidth);
    const Matrix right = both.column_range(kWidth, kWidth);
    const Matrix dots = executor->allocate(rows, 1, DType::kF32);
    std::vector<float> values;
    std::vector<float> sums;
    for (int r = 0; r < rows; ++r) {
      values.insert(values.end(), kWidth, static_cast<float>(r % 3));
      sums.push_back(static_cast<float>(r % 3 * kWidth));
    }
    executor->upload(values.data(), x);
    executor->run(ops::Linear{x, *linear, left});   // together with the next two,
    executor->run(ops::DotRows{x, *vector, dots});  // which read what nobody writes;
    executor->run(ops::Linear{x, *linear, right, {.activation = ops::Activation::kRelu}});
    executor->run(ops::Linear{left, *linear, x});  // after what it reads and those that read x
    executor->run(ops::DotRows{left, *vector, dots});
    std::vector<float> result(count * kWidth);
    const std::vector<float> expected = product_of_ones(sums, kWidth);
    executor->download(right, result.data());
    EXPECT_EQ(result, expected);
    executor->download(left, result.data());
    EXPECT_EQ(result, expected);
    std::vector<float> second;
    for (std::size_t r = 0; r < count; ++r) {
      second.push_back(
          std::accumulate(expected.begin() + static_cast<std::ptrdiff_t>(r * kWidth),
                          expected.begin() + static_cast<std::ptrdiff_t>((r + 1) * kWidth), 0.0F));
    }
    executor->download(x, result.data());
    EXPECT_EQ(result, product_of_ones(second, kWidth));
    std::vector<float> dotted(count);
    executor->download(dots, dotted.data());
    EXPECT_EQ(dotted, second);
  }
}

/// Values that 8 bits of mantissa hold, another row of them for every seed.
std::vector<float> exact_values(std::int64_t count, unsigned seed, int range, float unit) {
  std::mt19937 generator(seed);
  std::uniform_int_distribution<int> number(-range, range);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(number(generator)) * unit;
  return values;
}

/// Layer norm of a row, with the epsilon of 1e-5 that the tests' norms have.
void normalise_row(std::vector<double>& row, const std::vector<float>& scale,
                   const std::vector<float>& shift) {
  const auto count = static_cast<double>(row.size());
  const double mean = std::accumulate(row.begin(), row.end(), 0.0) / count;
  double squares = 0;
  for (const double value : row) squares += (value - mean) * (value - mean);
  for (std::size_t i = 0; i < row.size(); ++i) {
    row[i] = (row[i] - mean) / std::sqrt(squares / count + 1e-5) * scale[i] + shift[i];
  }
}

/// An answer inside a larger matrix, beside and below which nobody may write.
class Surrounded {
 public:
  Surrounded(CudaExecutor& executor, std::int64_t rows, std::int64_t cols, DType type)
      : executor_(executor),
        around_(executor.allocate(rows + kMargin, cols + kMargin, type)),
        values_(static_cast<std::size_t>(around_.rows * around_.cols), kUntouched) {
    executor.upload(values_.data(), around_);
  }

  Matrix matrix() const {
    return around_.row_range(0, around_.rows - kMargin).column_range(0, around_.cols - kMargin);
  }
  /// Brings everything back; the margin must be as it was.
  void download() {
    executor_.download(around_, values_.data());
    const Matrix inside = matrix();
    for (std::int64_t r = 0; r < around_.rows; ++r) {
      for (std::int64_t c = r < inside.rows ? inside.cols : 0; c < around_.cols; ++c) {
        ASSERT_EQ(values_[static_cast<std::size_t>(r * around_.cols + c)], kUntouched)
            << "row " << r << ", column " << c;
      }
    }
  }
  /// Takes a row's largest error into `worst`, of which NaN is the worst.
  void compare(std::int64_t row, const std::vector<double>& expected, double& worst,
               double& largest) const {
    const float* const got = values_.data() + row * around_.cols;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      largest = std::max(largest, std::abs(expected[i]));
      const double error = std::abs(got[i] - expected[i]);
      worst = error <= worst ? worst : std::isnan(error) ? INFINITY : error;
    }
  }

 private:
  static constexpr float kUntouched = -768.0F;
  static constexpr std::int64_t kMargin = 8;

  CudaExecutor& executor_;
  Matrix around_;
  std::vector<float> values_;
};

/// A product with all that may surround it, and what it should be.
struct RowProduct {
  std::int64_t rows, inputs, outputs;
  bool norm = false, residual = false, relu = false, in_place = false, wide_result = false;
};

void expect_row_product(const RowProduct& shape, Precision precision, bool own, unsigned seed) {
  SCOPED_TRACE(testing::Message() << shape.rows << " x " << shape.inputs << " -> " << shape.outputs
                                  << (shape.norm ? " norm" : "")
                                  << (shape.residual ? " residual" : "")
                                  << (shape.in_place ? " in place" : "") << " own " << own);
  cuda::Tuning tuning;
  tuning.row_products = own;
  const CudaBackend backend(0, precision, tuning);
  const auto executor = backend.make_cuda_executor(std::size_t{256} << 20);
  const auto [rows, inputs, outputs] = std::tuple(shape.rows, shape.inputs, shape.outputs);
  const std::vector<float> x = exact_values(rows * inputs, seed, 32, 1.0F / 16);
  const std::vector<float> weight = exact_values(outputs * inputs, seed + 1, 16, 1.0F / 64);
  const std::vector<float> bias = exact_values(outputs, seed + 2, 64, 1.0F / 32);
  const std::vector<float> residual = exact_values(rows * outputs, seed + 3, 64, 1.0F / 32);
  const std::vector<float> scale = exact_values(outputs, seed + 4, 64, 1.0F / 64);
  const std::vector<float> shift = exact_values(outputs, seed + 5, 64, 1.0F / 64);
  const auto linear = backend.make_linear({weight.data(), bias.data(), outputs, inputs},
                                          ops::WeightPrecision::kBackend);
  ops::Norm norm{backend.make_constant(scale.data(), 1, outputs),
                 backend.make_constant(shift.data(), 1, outputs), 1e-5F};

  const DType type = shape.wide_result               ? DType::kF32
                     : precision == Precision::kFp16 ? DType::kF16
                                                     : DType::kBF16;
  Surrounded answer(*executor, rows, outputs, type);
  const Matrix y = answer.matrix();
  Matrix input = executor->allocate(rows, inputs);
  if (shape.in_place) input = y;
  executor->upload(x.data(), input);
  Matrix addend;
  if (shape.residual) {
    addend = shape.in_place || shape.wide_result ? executor->allocate(rows, outputs) : y;
    executor->upload(residual.data(), addend);
  }
  executor->run(
      ops::Linear{input,
                  *linear,
                  y,
                  {.activation = shape.relu ? ops::Activation::kRelu : ops::Activation::kNone,
                   .residual = addend,
                   .norm_after = shape.norm ? &norm : nullptr}});
  answer.download();

  double worst = 0;
  double largest = 1;
  for (std::int64_t r = 0; r < rows; ++r) {
    std::vector<double> expected;
    for (std::int64_t o = 0; o < outputs; ++o) {
      double sum = bias[static_cast<std::size_t>(o)];
      for (std::int64_t k = 0; k < inputs; ++k) {
        sum += static_cast<double>(x[static_cast<std::size_t>(r * inputs + k)]) *
               weight[static_cast<std::size_t>(o * inputs + k)];
      }
      if (shape.relu) sum = std::max(sum, 0.0);
      if (shape.residual) sum += residual[static_cast<std::size_t>(r * outputs + o)];
      expected.push_back(sum);
    }
    if (shape.norm) normalise_row(expected, scale, shift);
    answer.compare(r, expected, worst, largest);
  }
  const double rounding = shape.wide_result ? 1e-6 : precision == Precision::kFp16 ? 1e-3 : 8e-3;
  EXPECT_LE(worst, rounding * largest);
}

TEST(RowProducts, AreTheProductsOfOthers) {
  std::vector<RowProduct> shapes = {
      {.rows = 1, .inputs = 64, .outputs = 64, .norm = true},
      {.rows = 63, .inputs = 128, .outputs = 128, .norm = true, .residual = true},
      {.rows = 65, .inputs = 256, .outputs = 256, .norm = true, .residual = true},
      {.rows = 65, .inputs = 256, .outputs = 256, .norm = true, .in_place = true},
      {.rows = 70, .inputs = 128, .outputs = 128, .norm = true, .residual = true, .in_place = true},
      {.rows = 5, .inputs = 320, .outputs = 128, .norm = true},
      {.rows = 130, .inputs = 448, .outputs = 64, .norm = true, .residual = true},
      {.rows = 3, .inputs = 512, .outputs = 256, .norm = true, .residual = true},
      {.rows = 129, .inputs = 256, .outputs = 512, .residual = true},
      {.rows = 17, .inputs = 256, .outputs = 384, .wide_result = true},
      {.rows = 64, .inputs = 64, .outputs = 192, .relu = true},
      {.rows = 31, .inputs = 192, .outputs = 320},
  };
#ifdef ITEMCROP_ON_DEVICE
  // More rows than the blocks of a device take at a time, and more outputs than one takes.
  shapes.push_back(
      {.rows = 64 * 132 * 3 + 65, .inputs = 256, .outputs = 256, .norm = true, .residual = true});
  shapes.push_back({.rows = 9000, .inputs = 128, .outputs = 128, .norm = true, .in_place = true});
  shapes.push_back({.rows = 900, .inputs = 256, .outputs = 2048, .relu = true});
  shapes.push_back({.rows = 900, .inputs = 256, .outputs = 384, .wide_result = true});
  shapes.push_back({.rows = 2047, .inputs = 256, .outputs = 512});
#endif
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  for (const Precision precision : {Precision::kFp16, Precision::kBf16}) {
    for (const RowProduct& shape : shapes) {
      expect_row_product(shape, precision, true, seed);
      if (shape.rows < 100) expect_row_product(shape, precision, false, seed);
    }
  }
}

struct FeedForward {
  std::int64_t rows, width, hidden;
  bool in_place = false;
};

void expect_feed_forward(const FeedForward& shape, Precision precision, const cuda::Tuning& tuning,
                         unsigned seed) {
  SCOPED_TRACE(testing::Message() << shape.rows << " x " << shape.width << ", " << shape.hidden
                                  << " hidden, at once " << tuning.feed_forwards);
  const CudaBackend backend(0, precision, tuning);
  const auto executor = backend.make_cuda_executor(std::size_t{512} << 20);
  const auto [rows, width, hidden] = std::tuple(shape.rows, shape.width, shape.hidden);
  const std::vector<float> x = exact_values(rows * width, seed, 32, 1.0F / 16);
  const std::vector<float> up = exact_values(hidden * width, seed + 1, 16, 1.0F / 128);
  const std::vector<float> up_bias = exact_values(hidden, seed + 2, 64, 1.0F / 64);
  const std::vector<float> down = exact_values(width * hidden, seed + 3, 16, 1.0F / 256);
  const std::vector<float> down_bias = exact_values(width, seed + 4, 64, 1.0F / 64);
  const std::vector<float> scale = exact_values(width, seed + 5, 64, 1.0F / 64);
  const std::vector<float> shift = exact_values(width, seed + 6, 64, 1.0F / 64);
  const ops::FeedForwardWeights weights{
      backend.make_linear({up.data(), up_bias.data(), hidden, width},
                          ops::WeightPrecision::kBackend),
      backend.make_linear({down.data(), down_bias.data(), width, hidden},
                          ops::WeightPrecision::kBackend),
      ops::Activation::kRelu};
  const ops::Norm norm{backend.make_constant(scale.data(), 1, width),
                       backend.make_constant(shift.data(), 1, width), 1e-5F};
  Surrounded answer(*executor, rows, width, executor->activation_dtype());
  const Matrix y = answer.matrix();
  const Matrix input = shape.in_place ? y : executor->allocate(rows, width);
  executor->upload(x.data(), input);
  executor->run(ops::FeedForward{input, weights, nullptr, &norm, y});
  answer.download();

  const auto rounded = [&](double value) {
    const auto single = static_cast<float>(value);
    return static_cast<double>(precision == Precision::kFp16
                                   ? f16_to_float(cuda::emulation::float_to_f16(single))
                                   : bf16_to_float(float_to_bf16(single)));
  };
  double worst = 0;
  double largest = 1;
  // Every row takes long here; those of the first and last blocks say enough.
  const auto step_after = [rows = rows](std::int64_t row) {
    return rows > 400 && row > 140 && row < rows - 140 ? 61 : 1;
  };
  for (std::int64_t r = 0; r < rows; r += step_after(r)) {
    const float* const row = x.data() + r * width;
    std::vector<double> inner(static_cast<std::size_t>(hidden));
    for (std::int64_t h = 0; h < hidden; ++h) {
      double sum = up_bias[static_cast<std::size_t>(h)];
      for (std::int64_t k = 0; k < width; ++k) {
        sum += static_cast<double>(row[k]) * up[static_cast<std::size_t>(h * width + k)];
      }
      inner[static_cast<std::size_t>(h)] = rounded(std::max(sum, 0.0));
    }
    std::vector<double> expected;
    for (std::int64_t c = 0; c < width; ++c) {
      double sum = down_bias[static_cast<std::size_t>(c)] + row[c];
      for (std::int64_t h = 0; h < hidden; ++h) {
        sum += inner[static_cast<std::size_t>(h)] * down[static_cast<std::size_t>(c * hidden + h)];
      }
      expected.push_back(sum);
    }
    normalise_row(expected, scale, shift);
    answer.compare(r, expected, worst, largest);
  }
  EXPECT_LE(worst, (precision == Precision::kFp16 ? 1.5e-3 : 1.2e-2) * largest);
}

TEST(FeedForwards, AreThoseOfOthers) {
  std::vector<FeedForward> shapes = {{.rows = 1, .width = 128, .hidden = 128},
                                     {.rows = 65, .width = 256, .hidden = 192, .in_place = true},
                                     {.rows = 200, .width = 128, .hidden = 320}};
#ifdef ITEMCROP_ON_DEVICE
  // More than a device's blocks take at once, with blocks that have nothing left.
  shapes.push_back({.rows = 64 * 132 * 2 + 64 * 133 + 1, .width = 256, .hidden = 2048});
  shapes.push_back({.rows = 64 * 5 + 3, .width = 256, .hidden = 2048, .in_place = true});
  shapes.push_back({.rows = 22223, .width = 256, .hidden = 2048, .in_place = true});
  shapes.push_back({.rows = 20000, .width = 128, .hidden = 512});
#endif
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  for (const Precision precision : {Precision::kFp16, Precision::kBf16}) {
    for (const FeedForward& shape : shapes) {
      cuda::Tuning tuning;
      tuning.products.deterministic = true;  // whatever the number of rows
      expect_feed_forward(shape, precision, tuning, seed);
      if (shape.rows > 100) continue;
      tuning.feed_forwards = false;
      expect_feed_forward(shape, precision, tuning, seed);
    }
  }
}

/// A network with procedural weights, and its results for as many rows of `x` as are asked for.
class FeedForwardRig {
 public:
  FeedForwardRig(const cuda::Tuning& tuning, std::int64_t max_rows, std::int64_t width,
                 std::int64_t hidden, unsigned seed)
      : backend_(0, Precision::kFp16, tuning),
        executor_(backend_.make_cuda_executor(std::size_t{1} << 30)),
        max_rows_(max_rows),
        x_(exact_values(max_rows * width, seed, 32, 1.0F / 16)) {
    const std::vector<float> up = exact_values(hidden * width, seed + 1, 16, 1.0F / 128);
    const std::vector<float> up_bias = exact_values(hidden, seed + 2, 64, 1.0F / 64);
    const std::vector<float> down = exact_values(width * hidden, seed + 3, 16, 1.0F / 256);
    const std::vector<float> row = exact_values(width, seed + 4, 64, 1.0F / 64);
    weights_ = {backend_.make_linear({up.data(), up_bias.data(), hidden, width},
                                     ops::WeightPrecision::kBackend),
                backend_.make_linear({down.data(), row.data(), width, hidden},
                                     ops::WeightPrecision::kBackend),
                ops::Activation::kRelu};
    norm_ = {backend_.make_constant(row.data(), 1, width),
             backend_.make_constant(row.data(), 1, width), 1e-5F};
  }

  /// All rows of y, of which those past `rows` were 7 before.
  std::vector<float> run(std::int64_t rows) {
    const ops::ArenaScope scope(*executor_);
    const auto width = static_cast<std::int64_t>(x_.size()) / max_rows_;
    const Matrix x = executor_->allocate(max_rows_, width);
    const Matrix y = executor_->allocate(max_rows_, width);
    const std::vector<float> sevens(x_.size(), 7.0F);
    executor_->run(ops::Upload{sevens.data(), y});
    executor_->run(ops::Upload{x_.data(), x});
    executor_->run(
        ops::FeedForward{x.row_range(0, rows), weights_, nullptr, &norm_, y.row_range(0, rows)});
    std::vector<float> result(x_.size());
    executor_->run(ops::Download{y, result.data()});
    return result;
  }

 private:
  CudaBackend backend_;
  std::unique_ptr<cuda::CudaExecutor> executor_;
  std::int64_t max_rows_;
  std::vector<float> x_;
  ops::FeedForwardWeights weights_;
  ops::Norm norm_;
};

double worst_difference(std::span<const float> a, std::span<const float> b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    // Written so that NaN is infinitely far.
    const double difference = std::abs(static_cast<double>(a[i]) - b[i]);
    worst = difference <= worst ? worst : std::isnan(difference) ? HUGE_VAL : difference;
  }
  return worst;
}

TEST(FeedForwards, AreRightForAnyNumberOfRowsAndHiddenValues) {
#ifdef ITEMCROP_ON_DEVICE
  constexpr std::int64_t kRows = 600;
  constexpr std::int64_t kStep = 1;
#else
  constexpr std::int64_t kRows = 40;
  constexpr std::int64_t kStep = 13;
#endif
  constexpr std::int64_t kWidth = 256;
  for (std::int64_t chunks = 2; chunks <= 9; ++chunks) {
    cuda::Tuning library;
    library.feed_forwards = false;
    const std::vector<float> expected =
        FeedForwardRig(library, kRows, kWidth, 64 * chunks, 11).run(kRows);
    cuda::Tuning tuning;
    tuning.feed_forward_rows = 1;
    FeedForwardRig rig(tuning, kRows, kWidth, 64 * chunks, 11);
    for (std::int64_t rows = 1; rows <= kRows; rows += kStep) {
      const std::vector<float> y = rig.run(rows);
      const auto end = static_cast<std::size_t>(rows * kWidth);
      ASSERT_LE(worst_difference(std::span(y).first(end), std::span(expected).first(end)), 0.01)
          << rows << " rows, " << chunks << " chunks";
      ASSERT_EQ(std::ranges::count(std::span(y).subspan(end), 7.0F),
                std::ssize(y) - static_cast<std::ptrdiff_t>(end))
          << "written past " << rows << " rows";
    }
  }
}

TEST(FeedForwards, SharedOutByHiddenValuesAreThoseOfWholeRows) {
#ifdef ITEMCROP_ON_DEVICE
  constexpr std::int64_t kShapes[][2] = {{900, 2048},  {22223, 2048}, {17000, 2048}, {33800, 2048},
                                         {4200, 2048}, {129, 1024},   {20000, 1152}, {64, 2048}};
#else
  constexpr std::int64_t kShapes[][2] = {{130, 512}};
#endif
  for (const auto& [rows, hidden] : kShapes) {
    cuda::Tuning whole;
    whole.feed_forward_rows = 1;
    whole.feed_forward_split = false;
    const std::vector<float> expected = FeedForwardRig(whole, rows, 256, hidden, 5).run(rows);
    cuda::Tuning tuning;
    tuning.feed_forward_rows = 1;
    FeedForwardRig rig(tuning, rows, 256, hidden, 5);
    const std::vector<float> first = rig.run(rows);
    EXPECT_LE(worst_difference(first, expected), 0.01) << rows << " rows";
    for (int again = 0; again < 5; ++again) EXPECT_EQ(rig.run(rows), first) << rows << " rows";
  }
}

TEST(Fusions, OfLongTextsByWgmmaAreThoseOfOthers) {
  constexpr int kHeads = 4;
#ifdef ITEMCROP_ON_DEVICE
  constexpr std::int64_t kVision[] = {700, 64, 333};
  constexpr std::int64_t kTexts[][3] = {{17, 64, 65}, {16, 130, 3}, {256, 1, 40}};
#else
  constexpr std::int64_t kVision[] = {70, 64, 33};
  constexpr std::int64_t kTexts[][3] = {{17, 3, 20}};
#endif
  for (const std::int64_t width : {128, 256}) {
    for (const auto& tokens : kTexts) {
      std::vector<ops::Segment> vision;
      std::vector<ops::Segment> folded;
      for (int s = 0; s < 3; ++s) {
        vision.push_back({vision.empty() ? 0 : vision.back().end(), kVision[s]});
        folded.push_back({folded.empty() ? 0 : folded.back().end(), kHeads * tokens[s]});
      }
      const std::int64_t rows = vision.back().end();
      const std::int64_t columns = folded.back().end();
      std::vector<std::vector<float>> answers[2];
      for (const bool own : {false, true}) {
        cuda::Tuning tuning;
        tuning.fusions = own;
        const CudaBackend backend(0, Precision::kFp16, tuning);
        const auto executor = backend.make_cuda_executor(std::size_t{256} << 20);
        const std::vector<float> table = exact_values(width, 9, 64, 1.0F / 64);
        const auto constant = backend.make_constant(table.data(), 1, width);
        const ops::Norm norm{backend.make_constant(table.data(), 1, width),
                             backend.make_constant(table.data(), 1, width), 1e-5F};
        const auto uploaded = [&](std::int64_t count, std::int64_t cols, DType type,
                                  unsigned seed) {
          const Matrix m = executor->allocate(count, cols, type);
          const std::vector<float> values = exact_values(count * cols, seed, 32, 1.0F / 32);
          executor->run(ops::Upload{values.data(), m});
          return m;
        };
        const Matrix x = uploaded(rows, width, DType::kF16, 1);
        const Matrix context = executor->allocate(columns, width, DType::kF32);
        executor->run(ops::FoldedFusion{.vision = x,
                                        .vision_segments = vision,
                                        .keys = uploaded(columns, width, DType::kF32, 2),
                                        .key_bias = uploaded(columns, 1, DType::kF32, 3),
                                        .values = uploaded(columns, width, DType::kF32, 4),
                                        .context = context,
                                        .folded_segments = folded,
                                        .heads = kHeads,
                                        .norm = &norm,
                                        .output_bias = constant.get(),
                                        .gamma = constant.get()});
        for (const Matrix& m : {x, context}) {
          answers[own ? 1 : 0].emplace_back(static_cast<std::size_t>(m.rows * m.cols));
          executor->run(ops::Download{m, answers[own ? 1 : 0].back().data()});
        }
      }
      SCOPED_TRACE(testing::Message() << width << " wide, " << tokens[0] << " tokens first");
      EXPECT_LE(worst_difference(answers[0][0], answers[1][0]), 0.01) << "vision";
      EXPECT_LE(worst_difference(answers[0][1], answers[1][1]), 0.01) << "context";
    }
  }
}

#ifndef ITEMCROP_ON_DEVICE
TEST(Staging, AllocatesOnItsOwnDevice) {
  cuda::Staging staging(0);
  cuda::select_device(1);  // as another executor of this thread does
  staging.take(100);
  EXPECT_EQ(cuda::emulation::selected_device, 0);
}
#endif

TEST(FeedForwardSchedule, CoversEveryChunkOnce) {
  using namespace cuda::kernels;
  for (const int multiprocessors : {2, 3, 108, 132, 144}) {
    for (const std::int64_t hidden : {128, 192, 512, 1024, 2048}) {
      for (const std::int64_t rows : {1, 64, 900, 4200, 16897, 22223, 177784}) {
        const FeedForwardParams params{.x = {nullptr, DType::kF16, rows, 256, 256},
                                       .hidden = hidden,
                                       .norm = {},
                                       .y = {nullptr, DType::kF16, rows, 256, 256},
                                       .multiprocessors = multiprocessors,
                                       .split = true};
        const FeedForwardSchedule schedule = schedule_of(params);
        ASSERT_LE(schedule.blocks, multiprocessors);
        std::map<std::pair<int, int>, int> seen;
        std::map<int, std::vector<int>> parts;
        for (int block = 0; block < schedule.blocks; ++block) {
          FeedForwardWalk walk(schedule, block);
          FeedForwardItem item;
          while (walk.next(item)) {
            ASSERT_GE(item.end - item.begin, 2);
            for (int chunk = item.begin; chunk < item.end; ++chunk) ++seen[{item.unit, chunk}];
            parts[item.unit].push_back(block);
          }
        }
        ASSERT_EQ(std::ssize(seen), schedule.units * schedule.chunks);
        for (const auto& [place, times] : seen) ASSERT_EQ(times, 1);
        for (const auto& [unit, blocks] : parts) {
          const FeedForwardShare share = share_of(schedule, {unit, 0, 0});
          ASSERT_EQ(std::ssize(blocks), share.count);
          ASSERT_TRUE(share.count == 1 || blocks.front() == share.first);
        }
      }
    }
  }
}

#ifdef ITEMCROP_ON_DEVICE
TEST(Products, MayBeForgottenWhileOthersMultiply) {
  cuda::ProductSettings settings;
  settings.max_plans = 2;
  cuda::Products products(0, settings);
  const auto multiply = [&](std::int64_t inputs) {
    cuda::select_device(0);
    const cuda::OwnedStream stream;
    const cuda::Memory memory(cuda::MemoryKind::kDevice, std::size_t{8} << 20);
    const cuda::Memory workspace(cuda::MemoryKind::kDevice, cuda::Products::kWorkspaceBytes);
    for (int i = 0; i < 200; ++i) {
      const cuda::Product product{.x = memory.data(),
                                  .weight = memory.data(),
                                  .y = memory.data() + (std::size_t{4} << 20),
                                  .rows = 64 + 8 * (i % 5),
                                  .outputs = 64,
                                  .inputs = inputs,
                                  .x_stride = inputs,
                                  .weight_stride = inputs,
                                  .y_stride = 64,
                                  .operand = DType::kF16,
                                  .result = DType::kF16};
      EXPECT_TRUE(products.fuses(product));
      products.run(stream.get(), workspace.data(), product);
    }
    cuda::synchronize(stream.get());
  };
  std::vector<std::jthread> threads;
  for (const std::int64_t inputs : {64, 128, 192, 256}) threads.emplace_back(multiply, inputs);
}
#endif

TEST(Overlap, TellsColumnsOfOneMatrixApart) {
  std::vector<float> values(100);
  const Matrix all{values.data(), DType::kF32, 10, 10, 10};
  const Matrix left = all.column_range(0, 4);
  EXPECT_TRUE(cuda::overlap(all, left));
  EXPECT_TRUE(cuda::overlap(left, all.column_range(3, 2)));
  EXPECT_FALSE(cuda::overlap(left, all.column_range(4, 6)));
  EXPECT_FALSE(cuda::overlap(all.column_range(4, 6), left));
  EXPECT_FALSE(cuda::overlap(left.row_range(2, 3), all.column_range(4, 6).row_range(1, 5)));
  EXPECT_TRUE(cuda::overlap(left.row_range(2, 3), left.row_range(4, 2)));
  EXPECT_FALSE(cuda::overlap(left.row_range(2, 2), left.row_range(4, 2)));
  EXPECT_FALSE(cuda::overlap(all, {}));
  // Another distance between rows may meet anything in between.
  const Matrix other{values.data() + 4, DType::kF32, 5, 6, 20};
  EXPECT_TRUE(cuda::overlap(left, other));
}

TEST(Pieces, OfGridsAreWholeImages) {
  const std::vector<ops::Grid> grids = {{0, 2, 5}, {10, 4, 5}, {30, 1, 3}, {33, 10, 10}};
  std::vector<std::size_t> sizes;
  for (const auto& piece : cuda::pieces_of(grids, 30)) sizes.push_back(piece.size());
  EXPECT_EQ(sizes, (std::vector<std::size_t>{2, 1, 1}));
  const std::vector<ops::Grid> apart = {{1, 2, 5}, {30, 4, 5}};
  EXPECT_EQ(cuda::pieces_of(apart, 1).size(), 1U);
}

TEST(Pieces, OfCellsAreWholeLinesOfTilesAndCoverAll) {
  const std::vector<ops::Pyramid> pyramids = pyramids_of({{{20, 13}, {3, 9}}, {{8, 8}}});
  const std::vector<ops::Segment> queries = {{0, 287}, {287, 64}};
  const auto tiles = cuda::kernels::deformable_cell_tiles(std::span(pyramids).first(1), queries);
  const auto levels = cuda::kernels::flatten(std::span(pyramids).first(1));
  std::int64_t row = 0;
  std::int64_t tile = 0;
  for (const cuda::TilePiece& piece : cuda::pieces_of(tiles, levels, 2, 110)) {
    EXPECT_EQ(piece.first_row, row);
    EXPECT_EQ(piece.first_tile, tile);
    EXPECT_LE(piece.rows, 110);
    row += piece.rows;
    tile += piece.tiles;
  }
  EXPECT_EQ(row, 287);
  EXPECT_EQ(tile, static_cast<std::int64_t>(tiles.size()));
}

/// An executor whose arena is no larger than a dry run measured.
class DryRunSized final : public ForwardingBackend {
 public:
  /// Borrows `backend`. 0 bytes: the arena is not known yet.
  DryRunSized(const CudaBackend& backend, std::size_t arena_bytes)
      : ForwardingBackend({std::shared_ptr<const void>(), &backend}), arena_bytes_(arena_bytes) {}

  /// A planner while the arena is not known; it keeps the highest mark of all it plans.
  std::unique_ptr<ops::Executor> make_executor(int threads, std::size_t /*bytes*/) const override {
    return arena_bytes_ == 0 ? make_planner()
                             : ForwardingBackend::make_executor(threads, arena_bytes_);
  }

 private:
  std::size_t arena_bytes_;
};

class DryRun : public testing::TestWithParam<std::string> {};

TEST_P(DryRun, MeasuresWhatTheOpTakes) {
  for (const Precision precision : {Precision::kFp32, Precision::kFp16}) {
    const CudaBackend backend(0, precision, {});
    const OpCase op_case = random_case(GetParam(), 7, {8, 9});
    std::size_t peak = 0;
    // A dry run's downloads leave the host's poison, which is all that is asked of them.
    run_case(op_case, DryRunSized(backend, 0), 1, &peak);
    ASSERT_GT(peak, 0U);
    EXPECT_NO_THROW(run_case(op_case, DryRunSized(backend, peak), 1)) << GetParam();
    EXPECT_THROW(run_case(op_case, DryRunSized(backend, peak - 256), 1), Error) << GetParam();
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, DryRun, testing::ValuesIn(random_ops()),
                         [](const auto& tested) { return tested.param; });

TEST(DryRun, RefusesShapesThatBreakTheContract) {
  const CudaBackend backend(0, Precision::kFp16, {});
  const auto planner = backend.make_planner();
  const Matrix a = planner->allocate(2, 3);
  planner->run(ops::Add{a, a, a});
  try {
    planner->run(ops::Add{a, a, planner->allocate(2, 4)});
    FAIL() << "2 x 4 passed for 2 x 3";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInternal);
    EXPECT_NE(std::string(error.what()).find("add"), std::string::npos) << error.what();
  }
}

TEST(Devices, AreDescribed) {
  const std::vector<DeviceInfo> devices = cuda::devices();
  ASSERT_FALSE(devices.empty());
  EXPECT_TRUE(devices.front().usable) << devices.front().detail;
  EXPECT_EQ(devices.front().precisions.size(), 3U);
}

TEST(Devices, OthersAreRefusedByName) {
  try {
    const CudaBackend backend(1000, Precision::kFp16, {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupportedDevice);
    EXPECT_NE(std::string(error.what()).find("cuda:1000"), std::string::npos) << error.what();
  }
}

#ifndef ITEMCROP_ON_DEVICE
ErrorCode code_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorCode::kInternal;
}

TEST(Faults, OutOfMemoryHarmsNothingElse) {
  const CudaBackend backend(0, Precision::kFp32, {});
  const auto executor = backend.make_cuda_executor(kArenaBytes);
  cuda::emulation::memory_limit = cuda::emulation::memory_used + (std::size_t{1} << 20);
  EXPECT_EQ(code_of([&] { backend.make_executor(1, std::size_t{1} << 30); }),
            ErrorCode::kOutOfMemory);
  const std::vector<float> much(std::size_t{1} << 20, 1.0F);
  EXPECT_EQ(code_of([&] { doubled(*executor, much, 1); }), ErrorCode::kOutOfMemory);
  EXPECT_EQ(doubled(*executor, {1, 2}, 10), (std::vector<float>{1024, 2048}));
  cuda::emulation::memory_limit = SIZE_MAX;
  EXPECT_EQ(doubled(*executor, much, 1), std::vector<float>(much.size(), 2.0F));
}

TEST(Faults, WeightsThatFindNoRoomLeaveNothingHalfMade) {
  const CudaBackend backend(0, Precision::kFp16, {});
  const std::vector<float> values(8, 1.0F);
  const auto add = [&] { backend.make_constant(values.data(), 1, 8); };
  // Room for the block of weights, but not for all that they travel through.
  cuda::emulation::memory_limit = cuda::emulation::memory_used + (std::size_t{71} << 20);
  // As by two threads that load a model: the second comes after the first has failed.
  EXPECT_EQ(code_of(add), ErrorCode::kOutOfMemory);
  EXPECT_EQ(code_of(add), ErrorCode::kOutOfMemory);
  cuda::emulation::memory_limit = SIZE_MAX;
  for (int i = 0; i < 8; ++i) EXPECT_NO_THROW(add());
}

TEST(Faults, MemoryIsTheDevicesAndNotAThreads) {
  const CudaBackend backend(0, Precision::kFp32, {});
  const std::size_t before = cuda::emulation::memory_used;
  cuda::emulation::memory_limit = before + (std::size_t{1} << 30);
  std::unique_ptr<CudaExecutor> executor;
  std::jthread([&] { executor = backend.make_cuda_executor(kArenaBytes); }).join();
  EXPECT_GE(cuda::emulation::memory_used, before + kArenaBytes);
  std::jthread([&] {
    EXPECT_EQ(code_of([&] { backend.make_executor(1, std::size_t{1} << 30); }),
              ErrorCode::kOutOfMemory);
  }).join();
  executor.reset();
  EXPECT_EQ(cuda::emulation::memory_used, before);
  cuda::emulation::memory_limit = SIZE_MAX;
}

TEST(Faults, NothingLiesBesideMemory) {
  const cuda::Memory memory(cuda::MemoryKind::kDevice, 1280);
  volatile std::byte* const data = memory.data();
  data[1279] = std::byte{1};
  EXPECT_DEATH(data[1280] = std::byte{1}, "");
  // What fills its first page may come before it.
  EXPECT_DEATH(data[-sysconf(_SC_PAGESIZE)] = std::byte{1}, "");
}

TEST(Faults, ALostDeviceIsADistinctError) {
  const CudaBackend backend(0, Precision::kFp32, {});
  auto executor = backend.make_cuda_executor(kArenaBytes);
  cuda::emulation::device_lost = true;
  EXPECT_EQ(code_of([&] { doubled(*executor, {1, 2}, 10); }), ErrorCode::kDeviceLost);
  EXPECT_EQ(code_of([&] { doubled(*executor, {1, 2}, 10); }), ErrorCode::kDeviceLost);
  executor.reset();
  cuda::emulation::device_lost = false;
}

TEST(Faults, WorkThatCannotBeRecordedRunsAllTheSame) {
  const CudaBackend backend(0, Precision::kFp32, {});
  const auto executor = backend.make_cuda_executor(kArenaBytes);
  cuda::emulation::graphs_fail = true;
  for (int run = 0; run < 3; ++run) {
    EXPECT_EQ(doubled(*executor, {1, 2}, 10), (std::vector<float>{1024, 2048}));
  }
  cuda::emulation::graphs_fail = false;
  EXPECT_EQ(executor->graphs().graphs(), 0U);
}

TEST(Faults, AnUnfinishedCallLeavesNothingBehind) {
  const CudaBackend backend(0, Precision::kFp32, {});
  const auto executor = backend.make_cuda_executor(kArenaBytes);
  {
    const ops::ArenaScope scope(*executor);
    const Matrix x = executor->allocate(1, 3, DType::kF32);
    executor->upload(std::vector<float>(3, 5.0F).data(), x);
    executor->run(ops::Add{x, x, x});
  }
  EXPECT_EQ(doubled(*executor, {1, 2}, 10), (std::vector<float>{1024, 2048}));
}
#endif

}  // namespace
}  // namespace itemcrop::test
