#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace itemcrop::test {

/// A row-major matrix in host memory.
struct HostMatrix {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::vector<float> values;

  const float* row(std::int64_t r) const { return values.data() + r * cols; }
};

/// One call of one op: its scalars, sizes and flags by name, its matrices and weights by name.
/// tests/reference/op_goldens.py writes such cases with what is expected of them.
struct OpCase {
  std::string op;
  std::string name;
  nlohmann::json arguments;
  std::map<std::string, HostMatrix> inputs;
};

using OpResult = std::map<std::string, HostMatrix>;

/// The file's cases beside what is expected of them.
std::vector<std::pair<OpCase, OpResult>> read_cases(const std::string& path);

/// Rows of the matrices put below one another; all have the same columns.
HostMatrix stack(const std::vector<HostMatrix>& parts);

}  // namespace itemcrop::test
