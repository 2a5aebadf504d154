#include <cmath>
#include <numbers>
#include <vector>

#include "backend/cpu/executor.h"

namespace itemcrop::cpu {
namespace {

constexpr float kTwoPi = 2.0F * std::numbers::pi_v<float>;

/// 1 / temperature^(2 floor(k / 2) / features) for each of the features.
std::vector<float> frequencies(int features, float temperature) {
  std::vector<float> result;
  for (int k = 0; k < features; ++k) {
    const float exponent = 2.0F * static_cast<float>(k / 2) / static_cast<float>(features);
    result.push_back(std::pow(temperature, exponent));
  }
  return result;
}

/// y[k] = sin (k even) or cos (k odd) of angle / divisors[k].
void embed_angle(float angle, const std::vector<float>& divisors, float* y) {
  for (std::size_t k = 0; k < divisors.size(); ++k) {
    const float phase = angle / divisors[k];
    y[k] = k % 2 == 0 ? std::sin(phase) : std::cos(phase);
  }
}

}  // namespace

void CpuExecutor::sine_positions(std::span<const ops::Pyramid> pyramids,
                                 const ops::Constant& level_embedding, float temperature,
                                 Matrix y) {
  constexpr float kEpsilon = 1e-6F;
  const std::int64_t half = y.cols / 2;
  const std::vector<float> divisors = frequencies(static_cast<int>(half), temperature);
  const auto embed_axis = [&](int size, const float* embedding) {
    std::vector<float> table(static_cast<std::size_t>(size * half));
    for (int i = 0; i < size; ++i) {
      float* row = table.data() + i * half;
      embed_angle(static_cast<float>(i + 1) / (static_cast<float>(size) + kEpsilon) * kTwoPi,
                  divisors, row);
      for (std::int64_t c = 0; c < half; ++c) row[c] += embedding[c];
    }
    return table;
  };
  for (const ops::Pyramid& pyramid : pyramids) {
    for (std::size_t l = 0; l < pyramid.levels.size(); ++l) {
      // A cell's row and column are embedded apart, so a level needs height + width sines only.
      const ops::Grid& level = pyramid.levels[l];
      const float* embedding = level_embedding.data() + static_cast<std::int64_t>(l) * y.cols;
      const std::vector<float> rows = embed_axis(level.height, embedding);
      const std::vector<float> columns = embed_axis(level.width, embedding + half);
      for_tasks(level.height, [&](std::int64_t row, Workspace&) {
        for (std::int64_t column = 0; column < level.width; ++column) {
          float* output = y.row<float>(level.begin + row * level.width + column);
          std::copy_n(rows.data() + row * half, half, output);
          std::copy_n(columns.data() + column * half, half, output + half);
        }
      });
    }
  }
}

void CpuExecutor::box_positions(Matrix boxes, int features, Matrix y) {
  constexpr float kTemperature = 10000.0F;
  constexpr int kOrder[] = {1, 0, 2, 3};  // cy, cx, w, h
  const std::vector<float> divisors = frequencies(features, kTemperature);
  for_tiles(boxes.rows, [&](const RowTile& tile, Workspace&) {
    for (std::int64_t r = tile.begin; r < tile.begin + tile.rows; ++r) {
      for (int i = 0; i < 4; ++i) {
        embed_angle(boxes.row<float>(r)[kOrder[i]] * kTwoPi, divisors,
                    y.row<float>(r) + i * features);
      }
    }
  });
}

}  // namespace itemcrop::cpu
