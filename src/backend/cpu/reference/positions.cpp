#include <algorithm>
#include <cmath>
#include <numbers>

#include "backend/cpu/reference/reference_executor.h"
#include "ops/geometry.h"

namespace itemcrop::cpu::reference {
namespace {

constexpr float kTwoPi = 2.0F * std::numbers::pi_v<float>;

/// y[k] = sin (k even) or cos (k odd) of angle / temperature^(2 floor(k / 2) / features).
void embed_angle(float angle, int features, float temperature, float* y) {
  for (int k = 0; k < features; ++k) {
    const float exponent = 2.0F * static_cast<float>(k / 2) / static_cast<float>(features);
    const float phase = angle / std::pow(temperature, exponent);
    y[k] = k % 2 == 0 ? std::sin(phase) : std::cos(phase);
  }
}

}  // namespace

void ReferenceExecutor::execute(const ops::AxisPositions& op) {
  constexpr float kEpsilon = 1e-6F;
  const std::int64_t half = op.y.cols / 2;
  const auto embed = [&](int place, int size, const float* embedding, float* output) {
    const float angle =
        static_cast<float>(place + 1) / (static_cast<float>(size) + kEpsilon) * kTwoPi;
    embed_angle(angle, static_cast<int>(half), op.temperature, output);
    for (std::int64_t c = 0; c < half; ++c) output[c] += embedding[c];
  };
  std::int64_t first = 0;
  for (const ops::Pyramid& pyramid : op.pyramids) {
    for (std::size_t l = 0; l < pyramid.levels.size(); ++l) {
      const ops::Grid& level = pyramid.levels[l];
      const float* embedding = op.level_embedding.data() + static_cast<std::int64_t>(l) * op.y.cols;
      for (int row = 0; row < level.height; ++row) {
        float* output = op.y.row<float>(first + row);
        embed(row, level.height, embedding, output);
        std::fill_n(output + half, half, 0.0F);
      }
      for (int column = 0; column < level.width; ++column) {
        float* output = op.y.row<float>(first + level.height + column);
        std::fill_n(output, half, 0.0F);
        embed(column, level.width, embedding + half, output + half);
      }
      first += ops::axis_rows(level);
    }
  }
}

void ReferenceExecutor::execute(const ops::BoxPositions& op) {
  constexpr float kTemperature = 10000.0F;
  constexpr int kOrder[] = {1, 0, 2, 3};  // cy, cx, w, h
  for_rows(op.boxes.rows, [&](std::int64_t r, int) {
    for (int i = 0; i < 4; ++i) {
      embed_angle(op.boxes.row<float>(r)[kOrder[i]] * kTwoPi, op.features, kTemperature,
                  op.y.row<float>(r) + i * op.features);
    }
  });
}

}  // namespace itemcrop::cpu::reference
