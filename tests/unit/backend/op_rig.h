#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ops/backend.h"
#include "ops/executor.h"
#include "unit/backend/op_case.h"

namespace itemcrop::test {

/// A backend's executor and the matrices and weights of one case.
///
/// Every matrix is a column range of a wider one whose other columns hold NaN, and outputs start as
/// NaN: an op that reads what it must not read, skips what it must write or writes past a row shows
/// in the values or in check_guards().
class OpRig {
 public:
  OpRig(const ops::Backend& backend, int threads, const OpCase& op_case);

  ops::Executor& executor() { return *executor_; }
  const nlohmann::json& argument(const std::string& name) const { return case_.arguments.at(name); }
  bool has(const std::string& input) const { return case_.inputs.count(input) != 0; }
  const HostMatrix& host(const std::string& input) const { return case_.inputs.at(input); }

  /// Uploads an input, in the backend's type of activations.
  ops::Matrix input(const std::string& name) { return upload(host(name), activation_); }
  ops::Matrix output(std::int64_t rows, std::int64_t cols) {
    return poisoned(rows, cols, activation_);
  }
  /// The same for what is fp32 whatever the backend: boxes, scores, logits, folded text.
  ops::Matrix exact_input(const std::string& name) { return upload(host(name), DType::kF32); }
  ops::Matrix exact_output(std::int64_t rows, std::int64_t cols) {
    return poisoned(rows, cols, DType::kF32);
  }
  ops::Matrix indices(const std::vector<std::int32_t>& values);

  /// Weights of the inputs NAME.weight and NAME.bias (if there is one).
  const ops::LinearWeights& linear(const std::string& name) {
    return *linears_.emplace_back(make_linear(name));
  }
  std::unique_ptr<const ops::LinearWeights> make_linear(const std::string& name);
  const ops::Constant& constant(const std::string& name) {
    return *constants_.emplace_back(make_constant(name));
  }
  std::unique_ptr<const ops::Constant> make_constant(const std::string& name);
  /// Norm NAME.weight and NAME.bias with the argument NAME.epsilon; null where there is none.
  const ops::Norm* optional_norm(const std::string& name);
  ops::Norm make_norm(const std::string& name);
  ops::Activation activation() const;

  HostMatrix download(const ops::Matrix& matrix);
  HostMatrix download_indices(const ops::Matrix& matrix);

  /// Throws if an op wrote beside a matrix.
  void check_guards();

 private:
  ops::Matrix upload(const HostMatrix& values, DType dtype);
  ops::Matrix poisoned(std::int64_t rows, std::int64_t cols, DType dtype);

  const ops::Backend& backend_;
  const OpCase& case_;
  std::unique_ptr<ops::Executor> executor_;
  DType activation_;
  std::vector<ops::Matrix> wide_;  ///< each matrix with its guard columns
  std::deque<std::unique_ptr<const ops::LinearWeights>> linears_;
  std::deque<std::unique_ptr<const ops::Constant>> constants_;
  std::deque<ops::Norm> norms_;
};

/// Consecutive segments of the given sizes; grids and pyramids likewise.
std::vector<ops::Segment> segments_of(const nlohmann::json& sizes);
std::vector<ops::Grid> grids_of(const nlohmann::json& shapes);
std::vector<ops::Pyramid> pyramids_of(const nlohmann::json& pyramids);

}  // namespace itemcrop::test
