#pragma once

#include <cstdint>
#include <random>

#include "unit/backend/op_case.h"

namespace itemcrop::test {

/// Seeded draws.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}

  /// An integer in [low, high].
  int between(int low, int high) { return std::uniform_int_distribution<int>(low, high)(engine_); }
  template <class T>
  T one_of(std::initializer_list<T> values) {
    return values.begin()[between(0, static_cast<int>(values.size()) - 1)];
  }
  float uniform() { return std::uniform_real_distribution<float>(0.0F, 1.0F)(engine_); }
  float normal() { return std::normal_distribution<float>()(engine_); }

  /// Values of mean `centre` and standard deviation `deviation`.
  HostMatrix matrix(std::int64_t rows, std::int64_t cols, float deviation = 1.0F,
                    float centre = 0.0F) {
    HostMatrix result{rows, cols, {}};
    for (std::int64_t i = 0; i < rows * cols; ++i) {
      result.values.push_back(centre + deviation * normal());
    }
    return result;
  }

  /// A row count that meets the edges of tiles and vectors: one, a few, or more than a tile.
  int rows() { return one_of({1, between(2, 20), between(20, 140), between(120, 300)}); }

 private:
  std::mt19937_64 engine_;
};

}  // namespace itemcrop::test
