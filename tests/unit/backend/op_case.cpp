#include "unit/backend/op_case.h"

#include <fstream>
#include <limits>
#include <stdexcept>
#include <utility>

namespace itemcrop::test {
namespace {

HostMatrix to_matrix(const nlohmann::json& json) {
  HostMatrix matrix{json.at("rows"), json.at("cols"), {}};
  for (const nlohmann::json& value : json.at("values")) {
    // JSON has no infinity.
    matrix.values.push_back(value == "-inf" ? -std::numeric_limits<float>::infinity()
                                            : value.get<float>());
  }
  return matrix;
}

std::map<std::string, HostMatrix> to_matrices(const nlohmann::json& json) {
  std::map<std::string, HostMatrix> matrices;
  for (const auto& [name, matrix] : json.items()) matrices[name] = to_matrix(matrix);
  return matrices;
}

}  // namespace

std::vector<std::pair<OpCase, OpResult>> read_cases(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + " is missing");
  std::vector<std::pair<OpCase, OpResult>> cases;
  const nlohmann::json golden = nlohmann::json::parse(file);
  for (const nlohmann::json& entry : golden.at("cases")) {
    cases.emplace_back(OpCase{entry.at("op"), entry.at("name"), entry.at("arguments"),
                              to_matrices(entry.at("inputs"))},
                       to_matrices(entry.at("expected")));
  }
  return cases;
}

HostMatrix stack(const std::vector<HostMatrix>& parts) {
  HostMatrix result;
  for (const HostMatrix& part : parts) {
    result.rows += part.rows;
    result.cols = part.cols;
    result.values.insert(result.values.end(), part.values.begin(), part.values.end());
  }
  return result;
}

}  // namespace itemcrop::test
