#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "support/golden.h"

namespace itemcrop::test {

/// One stage as the engine computed it.
struct StageValues {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::vector<float> values;  ///< row-major
};

/// The stages of one image.
using Stages = std::map<std::string, StageValues, std::less<>>;

/// How far a stage is from the reference. Every field is NaN if any compared value is.
struct StageError {
  double relative = 0;  ///< ||out - ref|| / ||ref|| over the compared elements
  double largest = 0;   ///< max |out - ref|
  double mean = 0;      ///< |mean(out) - mean(ref)| / rms(ref) of the whole matrix
  double rms = 0;       ///< |rms(out) - rms(ref)| / rms(ref) of the whole matrix
  std::int64_t compared = 0;
};

/// Stages whose rows are queries in the order of their rank.
bool is_query_stage(std::string_view name);

/// Ranks at which both chose the same proposal. Only these rows of query stages can be compared:
/// the decoder's first input is an embedding of the rank, so a proposal that rounding moves to
/// another rank is another query.
struct QueryMatch {
  std::vector<bool> same_rank;
  std::int64_t same_ranks = 0;
  std::int64_t common = 0;  ///< proposals chosen by both, at any rank
};
QueryMatch match_queries(const std::vector<std::int64_t>& reference, const StageValues& engine);

/// Compares one stage; `match` limits query stages. Throws if the shapes differ.
StageError compare_stage(std::string_view name, const StageGolden& golden,
                         const StageValues& engine, const QueryMatch& match);

}  // namespace itemcrop::test
