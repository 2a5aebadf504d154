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
  /// Ops run in pieces of rows such that what lies between their kernels takes no more than this;
  /// 0: all rows at once. Bounds memory; pieces that would stay in the second-level cache leave the
  /// device idle at their ends and cost more than they save (bench/GPU_NOTES.md).
  std::size_t piece_bytes = std::size_t{1} << 30;
  /// Text runs beside pictures, on a stream of its own.
  bool branches = true;
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
