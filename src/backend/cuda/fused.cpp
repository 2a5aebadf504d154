// Products that run in one kernel with what surrounds them.
#include "backend/cuda/executor.h"
#include "backend/cuda/kernels/feed_forward.h"
#include "backend/cuda/kernels/linear.h"

namespace itemcrop::cuda {
namespace {

ops::Matrix matrix_of(const DeviceLinear& linear) {
  return {const_cast<void*>(linear.weight()), linear.dtype(), linear.outputs(), linear.inputs(),
          linear.stride()};
}

ops::Matrix bias_of(const DeviceLinear& linear) {
  return {const_cast<float*>(linear.bias()), DType::kF32, 1, linear.outputs(), linear.outputs()};
}

kernels::RowNorm norm_of(const ops::Norm* norm) {
  if (norm == nullptr) return {};
  return {norm->weight->data(), norm->bias->data(), norm->epsilon};
}

}  // namespace

bool CudaExecutor::launch_fused(const FusedLinear& args) {
  const DeviceLinear& weight = on_device(*args.weight);
  const kernels::LinearParams params{.x = args.x,
                                     .more = args.more,
                                     .before = norm_of(args.norm_before),
                                     .weight = matrix_of(weight),
                                     .bias = bias_of(weight),
                                     .activation = args.activation,
                                     .residual = args.residual,
                                     .after = norm_of(args.norm_after),
                                     .y = args.y};
  if (args.x.cols > device_->tuning.fused_linear_channels || !kernels::linear_fits(params)) {
    return false;
  }
  launch(kernels::launch_linear, params);
  return true;
}

bool CudaExecutor::launch_fused(Matrix x, const ops::FeedForwardWeights& weights,
                                const ops::Norm* norm_before, const ops::Norm* norm_after,
                                Matrix y) {
  const DeviceLinear& up = on_device(*weights.up);
  const DeviceLinear& down = on_device(*weights.down);
  const kernels::FeedForwardParams params{.x = x,
                                          .before = norm_of(norm_before),
                                          .up = matrix_of(up),
                                          .up_bias = bias_of(up),
                                          .activation = weights.activation,
                                          .down = matrix_of(down),
                                          .down_bias = bias_of(down),
                                          .after = norm_of(norm_after),
                                          .y = y};
  if (x.cols > device_->tuning.fused_feed_forward_channels || !kernels::feed_forward_fits(params)) {
    return false;
  }
  launch(kernels::launch_feed_forward, params);
  return true;
}

}  // namespace itemcrop::cuda
