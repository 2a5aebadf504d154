#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cuda/products.h"
#include "backend/cuda/runtime.h"
#include "backend/cuda/weights.h"
#include "core/dtype.h"

namespace itemcrop::cuda {

/// What trades memory or exactness for time. The defaults are for use; bench/gpu_bench tries
/// others.
struct Tuning {
  ProductSettings products;
  /// Graphs an executor keeps; 0 launches everything one by one.
  std::size_t graphs = 96;
  /// Ops run in pieces of rows such that what lies between their kernels takes this much and stays
  /// in the second-level cache; 0: all rows at once.
  std::size_t piece_bytes = std::size_t{1} << 30;
  /// Widest input of products that run in one kernel with their norms and sums (kernels/linear.h),
  /// and widest feed-forward network in one kernel (kernels/feed_forward.h); 0: the library's
  /// products always.
  std::int64_t fused_linear_channels = 0;
  std::int64_t fused_feed_forward_channels = 0;
  bool packed_sampling = false;
  bool sampling_two_heads = false;
  /// Measures every op with events (CudaExecutor::op_times); no graphs then.
  bool profile = false;
};

/// One device at one precision, shared by its executors.
struct DeviceState {
  DeviceState(int device, DType activations, const Tuning& settings)
      : index(device),
        activation(activations),
        tuning(settings),
        properties(device_properties(device)),
        weights(device, activations),
        products(device, settings.products) {}

  int index;
  DType activation;
  Tuning tuning;
  DeviceProperties properties;
  mutable WeightStore weights;
  mutable Products products;
};

}  // namespace itemcrop::cuda
