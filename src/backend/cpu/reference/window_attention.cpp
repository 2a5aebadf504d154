#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/cpu/reference/reference_executor.h"
#include "backend/cpu/reference/rows.h"
#include "ops/geometry.h"

namespace itemcrop::cpu::reference {
namespace {

using ops::WindowAxis;

constexpr float kMasked = -100.0F;

/// One token of a window.
struct Token {
  std::int64_t row;  ///< row of the matrix, or -1 in the padding
  int y, x;          ///< place within the window
  int region;
};

std::vector<Token> tokens_of(const ops::Grid& grid, const WindowAxis& rows,
                             const WindowAxis& columns, std::int64_t window) {
  std::vector<Token> tokens;
  const auto first_y = static_cast<int>(window / columns.windows()) * rows.window;
  const auto first_x = static_cast<int>(window % columns.windows()) * columns.window;
  for (int y = 0; y < rows.window; ++y) {
    for (int x = 0; x < columns.window; ++x) {
      const int source_y = rows.source(first_y + y);
      const int source_x = columns.source(first_x + x);
      const bool inside = source_y < rows.size && source_x < columns.size;
      tokens.push_back(
          {inside ? grid.begin + static_cast<std::int64_t>(source_y) * grid.width + source_x : -1,
           y, x, rows.region(first_y + y) * 3 + columns.region(first_x + x)});
    }
  }
  return tokens;
}

}  // namespace

void ReferenceExecutor::execute(const ops::WindowAttention& op) {
  const auto& qkv_weight = static_cast<const ReferenceLinear&>(*op.weights.qkv);
  const auto& output_weight = static_cast<const ReferenceLinear&>(*op.weights.output);
  const int window = op.geometry.window;
  const std::int64_t tokens = static_cast<std::int64_t>(window) * window;
  const std::int64_t channels = op.x.cols;
  const std::int64_t head_dim = channels / op.geometry.heads;
  const float scale = 1.0F / std::sqrt(static_cast<float>(head_dim));
  scratch_.reserve(static_cast<std::size_t>(tokens * (6 * channels + 1)));

  const auto attend = [&](const std::vector<Token>& places, int worker) {
    float* normal = scratch_.of(worker);
    float* qkv = normal + tokens * channels;
    float* attended = qkv + tokens * 3 * channels;
    float* projected = attended + tokens * channels;
    float* scores = projected + tokens * channels;
    const auto place = [&](std::int64_t i) { return places[static_cast<std::size_t>(i)]; };

    for (std::int64_t i = 0; i < tokens; ++i) {
      if (place(i).row >= 0) {
        normalise_row(op.x.row<float>(place(i).row), op.weights.norm, normal + i * channels);
      } else {
        std::fill_n(normal + i * channels, channels, 0.0F);
      }
    }
    multiply_rows(normal, channels, tokens, qkv_weight, qkv, 3 * channels);

    std::fill_n(attended, tokens * channels, 0.0F);
    for (std::int64_t q = 0; q < tokens; ++q) {
      const float* query = qkv + q * 3 * channels;
      for (std::int64_t head = 0; head < op.geometry.heads; ++head) {
        const std::int64_t column = head * head_dim;
        for (std::int64_t k = 0; k < tokens; ++k) {
          const float* key = qkv + k * 3 * channels + channels;
          const std::int64_t relative = (place(q).y - place(k).y + window - 1) * (2 * window - 1) +
                                        (place(q).x - place(k).x + window - 1);
          scores[k] = scale * dot(query + column, key + column, head_dim) +
                      op.weights.bias->data()[relative * op.geometry.heads + head] +
                      (place(q).region == place(k).region ? 0.0F : kMasked);
        }
        softmax_row(scores, tokens);
        for (std::int64_t k = 0; k < tokens; ++k) {
          const float* value = qkv + k * 3 * channels + 2 * channels;
          accumulate(scores[k], value + column, head_dim, attended + q * channels + column);
        }
      }
    }

    multiply_rows(attended, channels, tokens, output_weight, projected, channels);
    for (std::int64_t i = 0; i < tokens; ++i) {
      if (place(i).row < 0) continue;
      accumulate(1.0F, projected + i * channels, channels, op.x.row<float>(place(i).row));
    }
  };

  for (const ops::Grid& grid : op.grids) {
    const WindowAxis rows(grid.height, op.geometry);
    const WindowAxis columns(grid.width, op.geometry);
    const std::int64_t windows = static_cast<std::int64_t>(rows.windows()) * columns.windows();
    pool_.parallel_for(windows, [&](std::int64_t task, int worker) {
      attend(tokens_of(grid, rows, columns, task), worker);
    });
  }
}

}  // namespace itemcrop::cpu::reference
