#include <algorithm>

#include "itemcrop/error.h"

#include "backend/cuda/executor.h"
#include "backend/cuda/kernels/feed_forward.h"
#include "backend/cuda/kernels/norm.h"
#include "backend/cuda/kernels/rows.h"
#include "backend/cuda/overlap.h"

namespace itemcrop::cuda {
namespace {

/// What a product with this weight can give: fp32, or the type of its operands.
DType result_type(const DeviceLinear& weight, DType wanted) {
  return wanted == weight.dtype() ? wanted : DType::kF32;
}

/// Elements of a row that begins at a multiple of 16 bytes.
std::int64_t padded_columns(std::int64_t cols, DType dtype) {
  const auto step = std::int64_t{16} / static_cast<std::int64_t>(size_of(dtype));
  return (cols + step - 1) / step * step;
}

}  // namespace

ops::Matrix CudaExecutor::as(Matrix x, DType dtype) {
  if (x.dtype == dtype) return x;
  const Matrix y = allocate(x.rows, padded_columns(x.cols, dtype), dtype).column_range(0, x.cols);
  launch(kernels::launch_copy, {.x = x, .y = y});
  return y;
}

void CudaExecutor::normalise(Matrix x, const ops::Norm& norm, Matrix y, Matrix residual) {
  launch(kernels::launch_layer_norm, {.x = x,
                                      .residual = residual,
                                      .sum = {},
                                      .weight = norm.weight->data(),
                                      .bias = norm.bias->data(),
                                      .epsilon = norm.epsilon,
                                      .y = y});
}

std::optional<kernels::RowProductParams> CudaExecutor::row_product(
    Matrix x, const DeviceLinear& weight, Matrix y, ops::Activation activation, Matrix residual,
    const ops::Norm* norm) const {
  if (!device_->row_products || weight.dtype() != x.dtype) return std::nullopt;
  // Where answers must not depend on the batch, neither may the way they are computed.
  if (norm == nullptr && device_->tuning.products.deterministic) return std::nullopt;
  const auto apart_or_same = [&](Matrix m) {
    return !overlap(m, y) || (m.data == y.data && m.stride == y.stride && m.cols == y.cols &&
                              m.dtype == y.dtype && norm != nullptr);
  };
  if (!apart_or_same(x) || !apart_or_same(residual)) return std::nullopt;
  kernels::RowProductParams params{.x = x,
                                   .weight = weight.weight(),
                                   .weight_stride = weight.stride(),
                                   .bias = weight.bias(),
                                   .residual = residual,
                                   .activation = activation,
                                   .norm = {},
                                   .y = y,
                                   .multiprocessors = device_->properties.multiprocessors};
  if (norm != nullptr) params.norm = {norm->weight->data(), norm->bias->data(), norm->epsilon};
  if (!kernels::fits_row_product(params)) return std::nullopt;
  // Without a norm it is a matter of latency: what fills a device is the library's.
  constexpr std::int64_t kMaxInputs = 512;
  if (norm == nullptr &&
      (x.cols > kMaxInputs || kernels::row_product_blocks(params) > 2 * params.multiprocessors)) {
    return std::nullopt;
  }
  return params;
}

void CudaExecutor::multiply_and_normalise(Matrix x, const ops::LinearWeights& weight,
                                          const ops::Norm& norm, Matrix y, Matrix residual,
                                          ops::Activation activation) {
  const ops::ArenaScope scope(*this);
  const DeviceLinear& device_weight = on_device(weight);
  if (const auto params = row_product(x, device_weight, y, activation, residual, &norm)) {
    return launch(kernels::launch_row_product, *params);
  }
  // The norm reads the residual itself: the same bytes, and the sum is not rounded between.
  const DType type = result_type(device_weight, y.dtype);
  const bool in_place = type == y.dtype && !overlap(residual, y) && !overlap(x, y);
  const Matrix product =
      in_place ? y : allocate(y.rows, padded_columns(y.cols, type), type).column_range(0, y.cols);
  multiply(x, weight, product, activation);
  normalise(product, norm, y, residual);
}

bool CudaExecutor::multiply_in_place(Matrix x, const DeviceLinear& weight, Matrix y,
                                     ops::Activation activation, Matrix residual) {
  if (const auto params = row_product(x, weight, y, activation, residual, nullptr)) {
    launch(kernels::launch_row_product, *params);
    return true;
  }
  Product product{.x = x.data,
                  .weight = weight.weight(),
                  .bias = weight.bias_as(y.dtype),
                  .residual = residual.data,
                  .y = y.data,
                  .rows = x.rows,
                  .outputs = weight.outputs(),
                  .inputs = weight.inputs(),
                  .x_stride = x.stride,
                  .weight_stride = weight.stride(),
                  .residual_stride = residual.empty() ? 0 : residual.stride,
                  .y_stride = y.stride,
                  .operand = x.dtype,
                  .result = y.dtype,
                  .tf32 = weight.tf32(),
                  .activation = activation};
  const auto add = [&] {
    if (!is_dry_run()) {
      launch_small_products();
      fork_if_side_branch();
      commands_.add(branch_, product);
    }
    send_if_many();
  };
  Products& products = device_->products;
  const bool same_type = residual.empty() || residual.dtype == y.dtype;
  if (same_type && products.fuses(product)) {
    add();
    return true;
  }
  // The rest in a pass over y. What is to be added must still be there then.
  product.bias = nullptr;
  product.residual = nullptr;
  product.activation = ops::Activation::kNone;
  if (overlap(residual, y) || !products.fuses(product)) return false;
  add();
  if (weight.bias() == nullptr && activation == ops::Activation::kNone && residual.empty()) {
    return true;
  }
  launch(kernels::launch_epilogue,
         {.x = y, .bias = weight.bias(), .activation = activation, .residual = residual, .y = y});
  return true;
}

void CudaExecutor::multiply(Matrix x, const ops::LinearWeights& weight, Matrix y,
                            ops::Activation activation, Matrix residual) {
  if (x.rows == 0) return;
  const ops::ArenaScope scope(*this);
  const DeviceLinear& device_weight = on_device(weight);
  x = as(x, device_weight.dtype());
  const DType type = result_type(device_weight, y.dtype);
  if (type == DType::kF32 && device_weight.dtype() == DType::kF32 && residual.empty() &&
      join_small_products(x, static_cast<const float*>(device_weight.weight()),
                          device_weight.stride(), device_weight.bias(), y, activation)) {
    return;
  }
  if (type == y.dtype && !overlap(x, y) &&
      multiply_in_place(x, device_weight, y, activation, residual)) {
    return;
  }
  // A type that the product does not give, an output that is still needed, or rows that begin
  // where the library has no algorithm: by way of matrices that lie well.
  if (x.stride != padded_columns(x.cols, x.dtype)) {
    const Matrix aligned =
        allocate(x.rows, padded_columns(x.cols, x.dtype), x.dtype).column_range(0, x.cols);
    launch(kernels::launch_copy, {.x = x, .y = aligned});
    x = aligned;
  }
  const Matrix result =
      allocate(y.rows, padded_columns(y.cols, type), type).column_range(0, y.cols);
  if (!multiply_in_place(x, device_weight, result, activation, {})) {
    throw Error(ErrorCode::kInternal, "GPU: no algorithm multiplies " + std::to_string(x.rows) +
                                          " x " + std::to_string(x.cols) + " by " +
                                          std::to_string(y.cols));
  }
  if (residual.empty()) {
    launch(kernels::launch_copy, {.x = result, .y = y});
  } else {
    launch(kernels::launch_add, {.a = result, .b = residual, .y = y});
  }
}

void CudaExecutor::execute(const ops::Linear& op) {
  const auto& [activation, norm_before, residual, norm_after] = op.options;
  const DType operand = on_device(op.weights).dtype();
  Matrix x = op.x;
  if (norm_before != nullptr) {
    x = allocate(x.rows, padded_columns(x.cols, operand), operand).column_range(0, x.cols);
    normalise(op.x, *norm_before, x);
  }
  if (norm_after == nullptr) return multiply(x, op.weights, op.y, activation, residual);
  multiply_and_normalise(x, op.weights, *norm_after, op.y, residual, activation);
}

std::int64_t CudaExecutor::piece_rows(std::int64_t rows, std::size_t row_bytes) const noexcept {
  constexpr std::int64_t kRowStep = 128;
  const std::size_t limit = device_->tuning.piece_bytes;
  if (limit == 0 || rows == 0) return rows;
  const auto fitting = static_cast<std::int64_t>(limit / row_bytes) / kRowStep * kRowStep;
  // Pieces of equal size: a short last one would leave most of the device idle.
  const std::int64_t pieces = (rows - 1) / std::max(kRowStep, fitting) + 1;
  const std::int64_t even = (rows - 1) / pieces + 1;
  return std::min(rows, (even + kRowStep - 1) / kRowStep * kRowStep);
}

bool CudaExecutor::fused_feed_forward(Matrix x, const ops::FeedForwardWeights& weights,
                                      const ops::Norm& norm, Matrix y) {
  const DeviceLinear& up = on_device(*weights.up);
  const DeviceLinear& down = on_device(*weights.down);
  // A block takes its rows through all weights: with few rows, most of a device would watch.
  const Tuning& tuning = device_->tuning;
  const bool many = tuning.products.deterministic || x.rows >= tuning.feed_forward_rows;
  if (!device_->feed_forwards || !many || weights.activation != ops::Activation::kRelu ||
      up.dtype() != x.dtype || down.dtype() != x.dtype) {
    return false;
  }
  const bool same = x.data == y.data && x.stride == y.stride;
  if (!same && overlap(x, y)) return false;
  kernels::FeedForwardParams params{
      .x = x,
      .up = up.weight(),
      .up_stride = up.stride(),
      .up_bias = up.bias(),
      .down = down.weight(),
      .down_stride = down.stride(),
      .down_bias = down.bias(),
      .hidden = up.outputs(),
      .norm = {norm.weight->data(), norm.bias->data(), norm.epsilon},
      .y = y,
      .multiprocessors = device_->properties.multiprocessors,
      // Where answers must not depend on the batch, neither may how their sums are split.
      .split = tuning.feed_forward_split && !tuning.products.deterministic &&
               branch_ == ops::Branch::kMain,
      .tickets = reinterpret_cast<std::uint32_t*>(tickets_.data())};
  if (!kernels::fits_feed_forward(params)) return false;
  const std::size_t bytes = kernels::feed_forward_workspace(params);
  if (bytes > 0) {
    params.workspace = allocate(1, static_cast<std::int64_t>(bytes), DType::kU8).data;
  }
  launch(kernels::launch_feed_forward, params);
  return true;
}

void CudaExecutor::execute(const ops::FeedForward& op) {
  if (op.norm_before == nullptr && op.norm_after != nullptr &&
      fused_feed_forward(op.x, op.weights, *op.norm_after, op.y)) {
    return;
  }
  const DType operand = on_device(*op.weights.up).dtype();
  const DType type = result_type(on_device(*op.weights.down), op.y.dtype);
  const std::int64_t hidden_cols = op.weights.up->outputs();
  const std::int64_t rows =
      piece_rows(op.x.rows, static_cast<std::size_t>(hidden_cols) * size_of(operand));
  const auto take = [&](std::int64_t cols, DType dtype) {
    return allocate(rows, padded_columns(cols, dtype), dtype).column_range(0, cols);
  };
  const Matrix hidden = take(hidden_cols, operand);
  const Matrix normal = op.norm_before != nullptr ? take(op.x.cols, operand) : Matrix{};
  const Matrix product = op.norm_after != nullptr ? take(op.x.cols, type) : Matrix{};
  // A large product is bound by its operations: what it reads beside them costs it nothing, and the
  // norm, bound by memory, one matrix less. Small products know no residual.
  const bool residual_in_product = size_of(operand) == 2 && type == op.x.dtype;
  for (std::int64_t row = 0; row < op.x.rows; row += rows) {
    const std::int64_t count = std::min(rows, op.x.rows - row);
    const Matrix part = op.x.row_range(row, count);
    const Matrix output = op.y.row_range(row, count);
    const Matrix inner = hidden.row_range(0, count);
    Matrix input = part;
    if (op.norm_before != nullptr) {
      input = normal.row_range(0, count);
      normalise(part, *op.norm_before, input);
    }
    multiply(input, *op.weights.up, inner, op.weights.activation);
    if (op.norm_after == nullptr) {
      multiply(inner, *op.weights.down, output, ops::Activation::kNone, part);
      continue;
    }
    const Matrix sum = product.row_range(0, count);
    if (residual_in_product) {
      multiply(inner, *op.weights.down, sum, ops::Activation::kNone, part);
      normalise(sum, *op.norm_after, output);
    } else {
      multiply(inner, *op.weights.down, sum);
      normalise(sum, *op.norm_after, output, part);
    }
  }
}

}  // namespace itemcrop::cuda
