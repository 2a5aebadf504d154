#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "backend/cuda/runtime.h"
#include "core/dtype.h"
#include "ops/backend.h"
#include "ops/weights.h"

namespace itemcrop::cuda {

/// A weight matrix on the device, row-major [outputs, inputs], with a bias or without.
class DeviceLinear final : public ops::LinearWeights {
 public:
  struct Parts {
    const void* weight = nullptr;  ///< rows are stride() elements apart, of type dtype()
    std::int64_t stride = 0;
    DType dtype = DType::kF32;
    bool tf32 = false;                   ///< ops::WeightPrecision::kHead beside 16-bit activations
    const float* bias = nullptr;         ///< [outputs], or null
    const void* rounded_bias = nullptr;  ///< the bias in dtype(), for products that give it
  };

  DeviceLinear(std::int64_t inputs, std::int64_t outputs, const Parts& parts,
               std::shared_ptr<const void> owner)
      : LinearWeights(inputs, outputs), parts_(parts), owner_(std::move(owner)) {}

  const void* weight() const noexcept { return parts_.weight; }
  std::int64_t stride() const noexcept { return parts_.stride; }
  DType dtype() const noexcept { return parts_.dtype; }
  DType rows_dtype() const noexcept override { return parts_.dtype; }
  bool tf32() const noexcept { return parts_.tf32; }
  const float* bias() const noexcept { return parts_.bias; }
  /// The bias in the type of a product's results.
  const void* bias_as(DType type) const noexcept {
    return type == DType::kF32 ? parts_.bias : parts_.rounded_bias;
  }
  /// W alone: for the other summands of W (x + y) + b = (W x + b) + W y.
  DeviceLinear without_bias() const {
    Parts parts = parts_;
    parts.bias = nullptr;
    parts.rounded_bias = nullptr;
    return {inputs(), outputs(), parts, owner_};
  }

 private:
  Parts parts_;
  std::shared_ptr<const void> owner_;
};

inline const DeviceLinear& on_device(const ops::LinearWeights& linear) {
  return static_cast<const DeviceLinear&>(linear);
}

class DeviceConstant final : public ops::Constant {
 public:
  DeviceConstant(std::int64_t rows, std::int64_t cols, const float* data,
                 std::shared_ptr<const void> owner)
      : Constant(rows, cols), owner_(std::move(owner)) {
    set_data(data);
  }

 private:
  std::shared_ptr<const void> owner_;
};

/// Puts weights on a device. They live in a few large blocks, each freed with its last weight, and
/// travel through page-locked memory; where they are rounded, the device rounds them. Thread-safe.
class WeightStore {
 public:
  /// `half_heads`: heads' weights of many outputs are fp16 where `rounded` is: as many bits of
  /// mantissa as TF32.
  WeightStore(int device, DType rounded, bool half_heads);
  ~WeightStore();
  WeightStore(const WeightStore&) = delete;
  WeightStore& operator=(const WeightStore&) = delete;

  /// Returns once the host's values may go; throws Error(kOutOfMemory).
  std::unique_ptr<const ops::LinearWeights> add_linear(const ops::HostLinear& host,
                                                       ops::WeightPrecision precision);
  std::unique_ptr<const ops::Constant> add_constant(const float* host, std::int64_t rows,
                                                    std::int64_t cols);

  /// Waits until all that was added lies on the device; other streams may read it then.
  void finish();
  std::size_t bytes() const noexcept;

 private:
  struct Place {
    std::byte* data = nullptr;
    std::shared_ptr<const void> owner;
  };
  /// One of the pieces of page-locked memory that uploads go through, and its end.
  struct Slot;

  Place take(std::size_t bytes);
  /// Rows of `cols` floats to device rows of `stride` elements of type `dtype`, zero-padded.
  void upload(const float* host, std::int64_t rows, std::int64_t cols, std::byte* to,
              std::int64_t stride, DType dtype);

  int device_;
  DType rounded_;
  bool half_heads_;
  std::atomic<bool> in_flight_{false};
  mutable std::mutex mutex_;
  std::shared_ptr<Memory> block_;  ///< the one being filled
  std::size_t used_ = 0;
  std::size_t bytes_ = 0;
  std::unique_ptr<OwnedStream> stream_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::size_t next_slot_ = 0;
};

}  // namespace itemcrop::cuda
