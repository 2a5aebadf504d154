#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "backend/cpu/reference/reference_backend.h"
#include "backend/cuda/kernels/layout.h"
#include "ops/backend.h"

namespace itemcrop::test {

using ops::Matrix;

/// fp32 values on the host.
struct Values {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::vector<float> data;

  float& at(std::int64_t r, std::int64_t c) { return data[static_cast<std::size_t>(r * cols + c)]; }
  float at(std::int64_t r, std::int64_t c) const {
    return data[static_cast<std::size_t>(r * cols + c)];
  }
};

/// Seeded draws.
class Draw {
 public:
  explicit Draw(std::uint64_t seed) : engine_(seed) {}
  float normal() { return std::normal_distribution<float>()(engine_); }
  float uniform() { return std::uniform_real_distribution<float>()(engine_); }
  int between(int low, int high) { return std::uniform_int_distribution<int>(low, high)(engine_); }
  Values values(std::int64_t rows, std::int64_t cols, float deviation = 1, float centre = 0);

 private:
  std::mt19937_64 engine_;
};

/// Memory of the emulated device. Matrices are column ranges of wider ones, the rest of which is
/// NaN; so are outputs before a launch. Every buffer is its own allocation, so that a sanitizer
/// sees what is read or written beyond it.
class Rig {
 public:
  /// Stored in `dtype`; `values` becomes what is stored. Rows start at multiples of 16 bytes if
  /// `wide`, else not.
  Matrix matrix(Values& values, DType dtype, bool wide = true);
  Matrix output(std::int64_t rows, std::int64_t cols, DType dtype, bool wide = true);
  Matrix indices(std::span<const std::int32_t> values);
  template <class T>
  const T* upload(const std::vector<T>& values) {
    return reinterpret_cast<const T*>(bytes(values.data(), values.size() * sizeof(T)));
  }
  const float* table(const Values& values) { return upload(values.data); }
  void* workspace(std::size_t size);

  /// Calls `launches` with threads in one order and, from the same memory, in the other; the
  /// results must have the same bits and nothing outside of matrices may have changed.
  void run(const std::function<void()>& launches);

  static Values read(const Matrix& matrix);

 private:
  struct Buffer {
    std::unique_ptr<std::byte[]> memory;
    std::size_t size = 0;
    bool scratch = false;
  };
  std::byte* bytes(const void* from, std::size_t size, bool scratch = false);
  Matrix place(std::int64_t rows, std::int64_t cols, DType dtype, bool wide);
  std::vector<std::vector<std::byte>> snapshot() const;
  void check_guards() const;

  std::vector<Buffer> buffers_;
  std::vector<Matrix> matrices_;
};

/// The scalar definition of every op.
class Reference {
 public:
  Reference();
  ops::Executor& executor() { return *executor_; }
  Matrix matrix(const Values& values);
  Matrix output(std::int64_t rows, std::int64_t cols) {
    return executor_->allocate(rows, cols, DType::kF32);
  }
  Matrix indices(std::span<const std::int32_t> values);
  std::unique_ptr<const ops::Constant> constant(const Values& values);
  std::unique_ptr<const ops::LinearWeights> linear(const Values& weight, const Values* bias);
  ops::Norm norm(const Values& weight, const Values& bias, float epsilon);
  Values read(const Matrix& matrix);

 private:
  std::shared_ptr<const ops::Backend> backend_;
  std::unique_ptr<ops::Executor> executor_;
};

/// The types that activations are kept in.
inline constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16};

/// Largest difference that rounding explains for values of about 1 stored in `dtype`.
float tolerance(DType dtype, float fp32 = 2e-5F);

/// Expects ||actual - expected|| <= limit * ||expected|| and each value within limit * 8 of its
/// own size plus the rows' root mean square; NaN never passes.
void expect_close(const Values& actual, const Values& expected, float limit,
                  const std::string& what);

}  // namespace itemcrop::test
