#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/weights.h"
#include "ops/backend.h"

namespace itemcrop::model {

enum class Bias : bool { kNo, kYes };

/// For the text side: a few dozen tokens that steer everything after them, so fp32 costs nothing.
inline constexpr auto kExact = ops::WeightPrecision::kExact;

/// A weight matrix in host memory on its way to a backend; row-major [outputs, inputs].
struct HostWeight {
  std::vector<float> weight;
  std::vector<float> bias;  ///< [outputs], or empty
  std::int64_t outputs = 0;
  std::int64_t inputs = 0;
};

/// Reads published weights by name and prepares them for one backend. Thread-safe.
class WeightLoader {
 public:
  WeightLoader(const io::Weights& weights, const ops::Backend& backend)
      : weights_(weights), backend_(backend) {}

  const io::ModelConfig& config() const noexcept { return weights_.config(); }

  /// `name`.weight as [first dimension, product of the others], and `name`.bias.
  HostWeight host_weight(const std::string& name, Bias bias = Bias::kYes) const;
  std::vector<float> values(const std::string& name) const;  ///< any tensor, fp32

  std::unique_ptr<const ops::LinearWeights> linear(
      const std::string& name, Bias bias = Bias::kYes,
      ops::WeightPrecision precision = ops::WeightPrecision::kBackend) const;
  /// Several layers that read the same input, as one: outputs stacked in the order given.
  std::unique_ptr<const ops::LinearWeights> stacked(
      std::initializer_list<std::string> names, Bias bias = Bias::kYes,
      ops::WeightPrecision precision = ops::WeightPrecision::kBackend) const;
  std::unique_ptr<const ops::LinearWeights> prepare(
      const HostWeight& host,
      ops::WeightPrecision precision = ops::WeightPrecision::kBackend) const;

  std::unique_ptr<const ops::Constant> constant(const std::string& name) const;  ///< [rows, last]
  std::unique_ptr<const ops::Constant> vector(const std::string& name) const;    ///< [1, elements]
  std::unique_ptr<const ops::Constant> vector(std::span<const float> values) const;
  ops::Norm norm(const std::string& name, float epsilon) const;
  ops::FeedForwardWeights feed_forward(
      const std::string& up, const std::string& down, ops::Activation activation,
      ops::WeightPrecision precision = ops::WeightPrecision::kBackend) const;

 private:
  const io::Weights& weights_;
  const ops::Backend& backend_;
};

/// Preparation jobs of a whole model; run together so that every core packs weights.
using LoadJobs = std::vector<std::function<void()>>;

}  // namespace itemcrop::model
