#include "unit/backend/op_rig.h"

#include <cmath>
#include <limits>
#include <stdexcept>

namespace itemcrop::test {
namespace {

constexpr std::int64_t kGuardColumns = 5;
constexpr std::size_t kRigArenaBytes = std::size_t{16} << 20;
constexpr float kPoison = std::numeric_limits<float>::quiet_NaN();

}  // namespace

OpRig::OpRig(const ops::Backend& backend, int threads, const OpCase& op_case)
    : backend_(backend),
      case_(op_case),
      executor_(backend.make_executor(threads, kRigArenaBytes)),
      activation_(executor_->activation_dtype()) {}

ops::Matrix OpRig::upload(const HostMatrix& values, DType dtype) {
  HostMatrix wide{values.rows, values.cols + kGuardColumns, {}};
  for (std::int64_t r = 0; r < values.rows; ++r) {
    wide.values.insert(wide.values.end(), values.row(r), values.row(r) + values.cols);
    wide.values.insert(wide.values.end(), kGuardColumns, kPoison);
  }
  const ops::Matrix matrix = executor_->allocate(wide.rows, wide.cols, dtype);
  executor_->upload(wide.values.data(), matrix);
  wide_.push_back(matrix);
  return matrix.column_range(0, values.cols);
}

ops::Matrix OpRig::poisoned(std::int64_t rows, std::int64_t cols, DType dtype) {
  return upload({rows, cols, std::vector<float>(static_cast<std::size_t>(rows * cols), kPoison)},
                dtype);
}

ops::Matrix OpRig::indices(const std::vector<std::int32_t>& values) {
  const ops::Matrix matrix =
      executor_->allocate(static_cast<std::int64_t>(values.size()), 1, DType::kI32);
  executor_->upload_indices(values, matrix);
  return matrix;
}

std::unique_ptr<const ops::LinearWeights> OpRig::make_linear(const std::string& name) {
  const HostMatrix& weight = host(name + ".weight");
  const float* bias = has(name + ".bias") ? host(name + ".bias").values.data() : nullptr;
  return backend_.make_linear({weight.values.data(), bias, weight.rows, weight.cols},
                              ops::WeightPrecision::kBackend);
}

std::unique_ptr<const ops::Constant> OpRig::make_constant(const std::string& name) {
  const HostMatrix& table = host(name);
  return backend_.make_constant(table.values.data(), table.rows, table.cols);
}

ops::Norm OpRig::make_norm(const std::string& name) {
  return {make_constant(name + ".weight"), make_constant(name + ".bias"),
          argument(name + ".epsilon").get<float>()};
}

const ops::Norm* OpRig::optional_norm(const std::string& name) {
  return has(name + ".weight") ? &norms_.emplace_back(make_norm(name)) : nullptr;
}

ops::Activation OpRig::activation() const {
  const auto name = argument("activation").get<std::string>();
  if (name == "relu") return ops::Activation::kRelu;
  if (name == "gelu") return ops::Activation::kGelu;
  if (name == "none") return ops::Activation::kNone;
  throw std::runtime_error("unknown activation " + name);
}

HostMatrix OpRig::download(const ops::Matrix& matrix) {
  HostMatrix result{matrix.rows, matrix.cols, {}};
  result.values.assign(static_cast<std::size_t>(matrix.rows * matrix.cols), kPoison);
  executor_->download(matrix, result.values.data());
  return result;
}

HostMatrix OpRig::download_indices(const ops::Matrix& matrix) {
  std::vector<std::int32_t> values(static_cast<std::size_t>(matrix.rows));
  executor_->download_indices(matrix, values.data());
  return {matrix.rows, 1, std::vector<float>(values.begin(), values.end())};
}

void OpRig::check_guards() {
  for (const ops::Matrix& wide : wide_) {
    const HostMatrix guards = download(wide.column_range(wide.cols - kGuardColumns, kGuardColumns));
    for (const float value : guards.values) {
      if (!std::isnan(value)) throw std::runtime_error(case_.op + " wrote beside a matrix");
    }
  }
}

std::vector<ops::Segment> segments_of(const nlohmann::json& sizes) {
  return ops::concatenate(sizes.get<std::vector<std::int64_t>>());
}

std::vector<ops::Grid> grids_of(const nlohmann::json& shapes) {
  std::vector<ops::Grid> grids;
  std::int64_t begin = 0;
  for (const nlohmann::json& shape : shapes) {
    grids.push_back({begin, shape.at(0), shape.at(1)});
    begin += grids.back().rows();
  }
  return grids;
}

std::vector<ops::Pyramid> pyramids_of(const nlohmann::json& pyramids) {
  std::vector<ops::Pyramid> result;
  std::int64_t begin = 0;
  for (const nlohmann::json& shapes : pyramids) {
    ops::Pyramid pyramid{grids_of(shapes)};
    for (ops::Grid& level : pyramid.levels) level.begin += begin;
    begin += pyramid.rows();
    result.push_back(std::move(pyramid));
  }
  return result;
}

}  // namespace itemcrop::test
