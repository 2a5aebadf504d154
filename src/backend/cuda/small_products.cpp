// Products of a few rows of text cost less than their launches, and a layer has dozens that do not
// depend on each other. They wait here until something else is to be launched, then share one
// launch.
#include "backend/cuda/kernels/small_products.h"

#include <algorithm>

#include "backend/cuda/descriptors.h"
#include "backend/cuda/overlap.h"

namespace itemcrop::cuda {
namespace {

/// Beyond these the library's products are quicker.
constexpr std::int64_t kMaxRows = 256;
constexpr std::int64_t kMaxInputs = 1024;

ops::Matrix input_of(const kernels::SmallProduct& p) {
  return {const_cast<float*>(p.x), DType::kF32, p.rows, p.inputs, p.x_stride};
}

ops::Matrix output_of(const kernels::SmallProduct& p) {
  return {p.y, DType::kF32, p.rows, p.outputs, p.y_stride};
}

}  // namespace

bool CudaExecutor::join_small_products(Matrix x, const float* weight, std::int64_t weight_stride,
                                       const float* bias, Matrix y, ops::Activation activation) {
  if (x.dtype != DType::kF32 || y.dtype != DType::kF32 || activation == ops::Activation::kGelu ||
      x.cols > kMaxInputs || overlap(x, y)) {
    return false;
  }
  // Where answers must not depend on the batch, neither may the way they are computed: then it
  // follows from the precision alone.
  const bool few = device_->tuning.products.deterministic ? device_->activation != DType::kF32
                                                          : x.rows <= kMaxRows;
  if (!few) return false;
  if (is_dry_run()) return true;
  const bool depends = std::ranges::any_of(small_products_, [&](const auto& other) {
    return overlap(x, output_of(other)) || overlap(y, output_of(other)) ||
           overlap(y, input_of(other));
  });
  if (depends || small_products_branch_ != branch_) launch_small_products();
  small_products_branch_ = branch_;
  small_products_.push_back({.x = static_cast<const float*>(x.data),
                             .weight = weight,
                             .bias = bias,
                             .y = static_cast<float*>(y.data),
                             .x_stride = x.stride,
                             .weight_stride = weight_stride,
                             .y_stride = y.stride,
                             .rows = static_cast<std::int32_t>(x.rows),
                             .outputs = static_cast<std::int32_t>(y.cols),
                             .inputs = static_cast<std::int32_t>(x.cols),
                             .relu = activation == ops::Activation::kRelu ? 1 : 0});
  return true;
}

void CudaExecutor::launch_small_products() {
  if (small_products_.empty()) return;
  std::vector<kernels::SmallProductTile> tiles;
  for (std::size_t i = 0; i < small_products_.size(); ++i) {
    const kernels::SmallProduct& p = small_products_[i];
    for (std::int32_t row = 0; row < p.rows; row += kernels::kSmallProductRows) {
      for (std::int32_t output = 0; output < p.outputs; output += kernels::kSmallProductOutputs) {
        tiles.push_back({static_cast<std::int32_t>(i), row, output});
      }
    }
  }
  const Array<kernels::SmallProductTile> staged_tiles = staged(tiles);
  // They may have been left behind by the branch that was selected before.
  const ops::BranchScope theirs(*this, small_products_branch_);
  fork_if_side_branch();
  commands_.add(branch_, kernels::launch_small_products,
                kernels::SmallProductsParams{.products = staged(small_products_).data,
                                             .tiles = staged_tiles.data,
                                             .tile_count = staged_tiles.count()});
  small_products_.clear();
}

}  // namespace itemcrop::cuda
