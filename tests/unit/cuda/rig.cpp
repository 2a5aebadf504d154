#include "unit/cuda/rig.h"

#include <cmath>
#include <cstring>
#include <limits>

#include <gtest/gtest.h>

#include "backend/cuda/emulation/grid.h"
#include "backend/cuda/emulation/numbers.h"

namespace itemcrop::test {
namespace {

constexpr std::int64_t kGuard = 8;  ///< columns on each side

void store(float value, DType dtype, std::byte* to) {
  if (dtype == DType::kF32) {
    std::memcpy(to, &value, sizeof(value));
    return;
  }
  const std::uint16_t bits =
      dtype == DType::kF16 ? cuda::emulation::float_to_f16(value) : float_to_bf16(value);
  std::memcpy(to, &bits, sizeof(bits));
}

float load(DType dtype, const std::byte* from) {
  if (dtype == DType::kF32) {
    float value;
    std::memcpy(&value, from, sizeof(value));
    return value;
  }
  std::uint16_t bits;
  std::memcpy(&bits, from, sizeof(bits));
  return dtype == DType::kF16 ? f16_to_float(bits) : bf16_to_float(bits);
}

}  // namespace

Values Draw::values(std::int64_t rows, std::int64_t cols, float deviation, float centre) {
  Values result{rows, cols, {}};
  for (std::int64_t i = 0; i < rows * cols; ++i) {
    result.data.push_back(centre + deviation * normal());
  }
  return result;
}

std::byte* Rig::bytes(const void* from, std::size_t size, bool scratch) {
  // new[] of bytes is aligned for every standard type: 16 bytes.
  Buffer buffer{std::make_unique<std::byte[]>(size), size, scratch};
  if (from != nullptr) {
    std::memcpy(buffer.memory.get(), from, size);
  } else {
    std::memset(buffer.memory.get(), 0xFF, size);  // NaN in every type
  }
  buffers_.push_back(std::move(buffer));
  return buffers_.back().memory.get();
}

void* Rig::workspace(std::size_t size) { return bytes(nullptr, size, true); }

Matrix Rig::place(std::int64_t rows, std::int64_t cols, DType dtype, bool wide) {
  const std::int64_t stride = (cols + 2 * kGuard + 7) / 8 * 8 + (wide ? 0 : 1);
  auto* data = bytes(nullptr, static_cast<std::size_t>(rows * stride) * size_of(dtype));
  const Matrix all{data, dtype, rows, stride, stride};
  matrices_.push_back(all.column_range(kGuard, cols));
  return matrices_.back();
}

Matrix Rig::matrix(Values& values, DType dtype, bool wide) {
  const Matrix m = place(values.rows, values.cols, dtype, wide);
  for (std::int64_t r = 0; r < m.rows; ++r) {
    for (std::int64_t c = 0; c < m.cols; ++c) {
      auto* to = static_cast<std::byte*>(m.row_range(r, 1).column_range(c, 1).data);
      store(values.at(r, c), dtype, to);
      values.at(r, c) = load(dtype, to);
    }
  }
  return m;
}

Matrix Rig::output(std::int64_t rows, std::int64_t cols, DType dtype, bool wide) {
  return place(rows, cols, dtype, wide);
}

Matrix Rig::indices(std::span<const std::int32_t> values) {
  const auto rows = static_cast<std::int64_t>(values.size());
  const Matrix m = place(rows, 1, DType::kI32, true);
  for (std::int64_t r = 0; r < rows; ++r) {
    *m.row<std::int32_t>(r) = values[static_cast<std::size_t>(r)];
  }
  return m;
}

std::vector<std::vector<std::byte>> Rig::snapshot() const {
  std::vector<std::vector<std::byte>> all;
  for (const Buffer& buffer : buffers_) {
    all.emplace_back(buffer.memory.get(), buffer.memory.get() + buffer.size);
  }
  return all;
}

void Rig::run(const std::function<void()>& launches) {
  using cuda::emulation::Order;
  using cuda::emulation::order;
  const auto before = snapshot();
  order = Order::kBackward;
  launches();
  order = Order::kForward;
  const auto backward = snapshot();
  for (std::size_t b = 0; b < buffers_.size(); ++b) {
    std::memcpy(buffers_[b].memory.get(), before[b].data(), buffers_[b].size);
  }
  launches();
  const auto forward = snapshot();
  for (std::size_t b = 0; b < buffers_.size(); ++b) {
    if (buffers_[b].scratch) continue;
    ASSERT_TRUE(forward[b] == backward[b]) << "results depend on the order of threads: a race";
  }
  check_guards();
}

void Rig::check_guards() const {
  for (const Matrix& m : matrices_) {
    const auto size = static_cast<std::int64_t>(size_of(m.dtype));
    for (std::int64_t r = 0; r < m.rows; ++r) {
      const auto* row = static_cast<const std::byte*>(m.data) + r * m.stride * size;
      for (std::int64_t c = -kGuard; c < m.stride - kGuard; ++c) {
        if (c == 0) c = m.cols;
        for (std::int64_t i = 0; i < size; ++i) {
          ASSERT_EQ(row[c * size + i], std::byte{0xFF})
              << "written beside a matrix: row " << r << ", column " << c << " of " << m.cols;
        }
      }
    }
  }
}

Values Rig::read(const Matrix& m) {
  Values values{m.rows, m.cols, {}};
  for (std::int64_t r = 0; r < m.rows; ++r) {
    for (std::int64_t c = 0; c < m.cols; ++c) {
      const void* at = m.row_range(r, 1).column_range(c, 1).data;
      values.data.push_back(m.dtype == DType::kI32
                                ? static_cast<float>(*static_cast<const std::int32_t*>(at))
                                : load(m.dtype, static_cast<const std::byte*>(at)));
    }
  }
  return values;
}

Reference::Reference() : backend_(cpu::make_reference_backend()) {
  executor_ = backend_->make_executor(1, std::size_t{64} << 20);
}

Matrix Reference::matrix(const Values& values) {
  const Matrix m = output(values.rows, values.cols);
  executor_->upload(values.data.data(), m);
  return m;
}

Matrix Reference::indices(std::span<const std::int32_t> values) {
  const Matrix m = executor_->allocate(static_cast<std::int64_t>(values.size()), 1, DType::kI32);
  executor_->upload_indices(values, m);
  return m;
}

std::unique_ptr<const ops::Constant> Reference::constant(const Values& values) {
  return backend_->make_constant(values.data.data(), values.rows, values.cols);
}

std::unique_ptr<const ops::LinearWeights> Reference::linear(const Values& weight,
                                                            const Values* bias) {
  return backend_->make_linear({.weight = weight.data.data(),
                                .bias = bias != nullptr ? bias->data.data() : nullptr,
                                .outputs = weight.rows,
                                .inputs = weight.cols},
                               ops::WeightPrecision::kExact);
}

ops::Norm Reference::norm(const Values& weight, const Values& bias, float epsilon) {
  return {constant(weight), constant(bias), epsilon};
}

Values Reference::read(const Matrix& m) {
  Values values{m.rows, m.cols, {}};
  values.data.resize(static_cast<std::size_t>(m.rows * m.cols));
  if (m.dtype == DType::kI32) {
    std::vector<std::int32_t> indices(values.data.size());
    executor_->download_indices(m, indices.data());
    values.data.assign(indices.begin(), indices.end());
  } else {
    executor_->download(m, values.data.data());
  }
  return values;
}

float tolerance(DType dtype, float fp32) {
  if (dtype == DType::kF16) return 2e-3F;
  if (dtype == DType::kBF16) return 1.5e-2F;
  return fp32;
}

void expect_close(const Values& actual, const Values& expected, float limit,
                  const std::string& what) {
  ASSERT_EQ(actual.rows, expected.rows) << what;
  ASSERT_EQ(actual.cols, expected.cols) << what;
  double difference = 0;
  double total = 0;
  for (std::size_t i = 0; i < expected.data.size(); ++i) {
    const double delta = static_cast<double>(actual.data[i]) - expected.data[i];
    if (actual.data[i] == expected.data[i]) continue;  // infinities
    difference += delta * delta;
  }
  for (const float value : expected.data) {
    if (std::isfinite(value)) total += static_cast<double>(value) * value;
  }
  const double rms = std::sqrt(total / static_cast<double>(expected.data.size()));
  ASSERT_LE(std::sqrt(difference), limit * std::sqrt(total) + 1e-30) << what;
  for (std::size_t i = 0; i < expected.data.size(); ++i) {
    if (actual.data[i] == expected.data[i]) continue;
    ASSERT_LE(std::abs(actual.data[i] - expected.data[i]),
              8 * limit * (std::abs(expected.data[i]) + rms))
        << what << ": row " << i / static_cast<std::size_t>(expected.cols) << ", column "
        << i % static_cast<std::size_t>(expected.cols);
  }
}

}  // namespace itemcrop::test
