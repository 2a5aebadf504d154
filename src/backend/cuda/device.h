#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cuda/kernels/fusion.h"
#include "backend/cuda/kernels/row_products.h"
#include "backend/cuda/products.h"
#include "backend/cuda/runtime.h"
#include "backend/cuda/weights.h"
#include "core/dtype.h"

namespace itemcrop::cuda {

/// Options that trade memory or exactness for time. The defaults are for use; bench/gpu_bench tries
/// others.
struct Tuning {
  ProductSettings products;
  /// Graphs an executor keeps; 0 launches everything one by one.
  std::size_t graphs = 96;
  /// Ops run in pieces of rows such that what lies between their kernels takes no more than this;
  /// 0: all rows at once. Bounds memory; pieces that would stay in the second-level cache leave the
  /// device idle at their ends and cost more than they save (bench/GPU_NOTES.md).
  std::size_t piece_bytes = std::size_t{1} << 30;
  /// Text runs beside images, on a stream of its own.
  bool branches = true;
  /// Own products where they save launches and passes (kernels/row_products.h), where they work.
  bool row_products = true;
  /// Heads beside fp16 activations in fp16 instead of TF32, whose mantissa is as long.
  bool half_heads = true;
  /// Feed-forward networks of many rows in one kernel (kernels/feed_forward.h), where that works.
  bool feed_forwards = true;
  /// Their last rows are shared out by hidden values, so that no multiprocessor idles.
  bool feed_forward_split = true;
  /// The fewest rows that take that kernel.
  std::int64_t feed_forward_rows = 4096;
  /// Folded fusion by wgmma (kernels/fusion_hopper.cu), where that works.
  bool fusions = true;
  /// Programmatic dependent launch, where the device can (kernels::early_launches_work): a kernel's
  /// blocks start while the last ones of its predecessor run.
  bool early_launches = true;
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
        weights(device, activations, settings.half_heads),
        products(device, settings.products) {
    select_device(device);
    const bool hopper = kernels::row_products_work();
    row_products = settings.row_products && hopper;
    feed_forwards = settings.feed_forwards && hopper;
    fusions = settings.fusions && kernels::hopper_fusion_works();
    early_launches = settings.early_launches && kernels::early_launches_work();
  }

  int index;
  DType activation;
  Tuning tuning;
  DeviceProperties properties;
  mutable WeightStore weights;
  mutable Products products;
  bool row_products = false;
  bool feed_forwards = false;
  bool fusions = false;
  bool early_launches = false;
};

}  // namespace itemcrop::cuda
