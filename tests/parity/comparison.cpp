#include "parity/comparison.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <stdexcept>

namespace itemcrop::test {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// Mean and root mean square of a whole matrix.
struct Moments {
  double mean = 0;
  double rms = 0;
};

Moments moments(const std::vector<float>& values) {
  double sum = 0;
  double squares = 0;
  for (const float value : values) {
    sum += value;
    squares += double{value} * value;
  }
  const auto count = static_cast<double>(values.size());
  return {sum / count, std::sqrt(squares / count)};
}

}  // namespace

bool is_query_stage(std::string_view name) {
  return name.starts_with("decoder.") || name == "queries.reference" || name == "logits" ||
         name == "boxes";
}

QueryMatch match_queries(const std::vector<std::int64_t>& reference, const StageValues& engine) {
  if (engine.rows != static_cast<std::int64_t>(reference.size())) {
    throw std::runtime_error("the engine has " + std::to_string(engine.rows) +
                             " queries, the reference " + std::to_string(reference.size()));
  }
  QueryMatch match;
  const std::set<std::int64_t> chosen(reference.begin(), reference.end());
  for (std::size_t rank = 0; rank < reference.size(); ++rank) {
    const auto proposal = static_cast<std::int64_t>(engine.values[rank]);
    match.same_rank.push_back(proposal == reference[rank]);
    match.same_ranks += match.same_rank.back() ? 1 : 0;
    match.common += chosen.contains(proposal) ? 1 : 0;
  }
  return match;
}

StageError compare_stage(std::string_view name, const StageGolden& golden,
                         const StageValues& engine, const QueryMatch& match) {
  if (engine.rows != golden.rows || engine.cols != golden.cols) {
    throw std::runtime_error(std::string(name) + " is " + std::to_string(engine.rows) + " x " +
                             std::to_string(engine.cols) + ", the reference's " +
                             std::to_string(golden.rows) + " x " + std::to_string(golden.cols));
  }
  std::vector<std::int64_t> indices;
  if (!golden.whole()) indices = sample_indices(name, golden.elements());
  StageError error;
  double difference = 0;
  double reference = 0;
  bool all_finite = true;
  for (std::size_t i = 0; i < golden.values.size(); ++i) {
    const std::int64_t index = indices.empty() ? static_cast<std::int64_t>(i) : indices[i];
    const auto row = static_cast<std::size_t>(index / golden.cols);
    if (is_query_stage(name) && !match.same_rank[row]) continue;
    const double out = engine.values[static_cast<std::size_t>(index)];
    const double delta = out - golden.values[i];
    all_finite = all_finite && std::isfinite(delta);
    difference += delta * delta;
    reference += double{golden.values[i]} * golden.values[i];
    error.largest = std::max(error.largest, std::abs(delta));
    ++error.compared;
  }
  error.relative = std::sqrt(difference) / std::sqrt(reference);
  const Moments whole = moments(engine.values);
  error.mean = std::abs(whole.mean - golden.mean) / golden.rms;
  error.rms = std::abs(whole.rms - golden.rms) / golden.rms;
  if (!all_finite) error = {kNaN, kNaN, kNaN, kNaN, error.compared};
  return error;
}

}  // namespace itemcrop::test
