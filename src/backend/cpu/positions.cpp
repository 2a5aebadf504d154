#include <algorithm>
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

void CpuExecutor::execute(const ops::AxisPositions& op) {
  constexpr float kEpsilon = 1e-6F;
  const std::int64_t half = op.y.cols / 2;
  const std::vector<float> divisors = frequencies(static_cast<int>(half), op.temperature);
  std::int64_t next = 0;
  const auto embed_axis = [&](int size, const float* embedding, std::int64_t column) {
    for (int i = 0; i < size; ++i) {
      float* row = op.y.row<float>(next++);
      std::fill_n(row, op.y.cols, 0.0F);
      embed_angle(static_cast<float>(i + 1) / (static_cast<float>(size) + kEpsilon) * kTwoPi,
                  divisors, row + column);
      for (std::int64_t c = column; c < column + half; ++c) row[c] += embedding[c];
    }
  };
  for (const ops::Pyramid& pyramid : op.pyramids) {
    const float* embedding = op.level_embedding.data();
    for (const ops::Grid& level : pyramid.levels) {
      embed_axis(level.height, embedding, 0);
      embed_axis(level.width, embedding, half);
      embedding += op.y.cols;
    }
  }
}

void CpuExecutor::execute(const ops::BoxPositions& op) {
  constexpr float kTemperature = 10000.0F;
  constexpr int kOrder[] = {1, 0, 2, 3};  // cy, cx, w, h
  const std::vector<float> divisors = frequencies(op.features, kTemperature);
  for_tiles(op.boxes.rows, [&](const RowTile& tile, Workspace&) {
    for (std::int64_t r = tile.begin; r < tile.begin + tile.rows; ++r) {
      for (int i = 0; i < 4; ++i) {
        embed_angle(op.boxes.row<float>(r)[kOrder[i]] * kTwoPi, divisors,
                    op.y.row<float>(r) + i * op.features);
      }
    }
  });
}

}  // namespace itemcrop::cpu
