#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "backend/cpu/reference/reference_executor.h"
#include "backend/cpu/reference/rows.h"
#include "ops/resize.h"

namespace itemcrop::cpu::reference {

void ReferenceExecutor::execute(const ops::ImagePatches& op) {
  const std::size_t pixel_bytes = 3 * static_cast<std::size_t>(op.transform.width) *
                                  static_cast<std::size_t>(op.transform.height);
  auto* pixels = reinterpret_cast<std::uint8_t*>(
      scratch_.reserve_shared((pixel_bytes + sizeof(float) - 1) / sizeof(float)));
  ops::resize_bilinear(op.image, {op.transform.width, op.transform.height}, pixels, &pool_);
  const int patch = op.transform.patch;
  const int patches_across = (op.transform.width + patch - 1) / patch;
  for_rows(op.y.rows, [&](std::int64_t r, int) {
    const auto top = static_cast<int>(r / patches_across) * patch;
    const auto left = static_cast<int>(r % patches_across) * patch;
    float* output = op.y.row<float>(r);
    for (int channel = 0; channel < 3; ++channel) {
      for (int row = top; row < top + patch; ++row) {
        for (int column = left; column < left + patch; ++column) {
          const bool inside = row < op.transform.height && column < op.transform.width;
          const auto pixel =
              (static_cast<std::size_t>(row) * static_cast<std::size_t>(op.transform.width) +
               static_cast<std::size_t>(column)) *
                  3 +
              static_cast<std::size_t>(channel);
          *output++ = inside ? static_cast<float>(pixels[pixel]) * op.transform.scale[channel] +
                                   op.transform.shift[channel]
                             : 0.0F;
        }
      }
    }
  });
}

void ReferenceExecutor::execute(const ops::PatchMerge& op) {
  constexpr int kOrder[4][2] = {{0, 0}, {1, 0}, {0, 1}, {1, 1}};  // row, column
  scratch_.reserve(static_cast<std::size_t>(4 * op.x.cols));
  for (std::size_t sample = 0; sample < op.from.size(); ++sample) {
    const ops::Grid& source = op.from[sample];
    const ops::Grid& target = op.to[sample];
    for_rows(target.rows(), [&](std::int64_t cell, int worker) {
      float* merged = scratch_.of(worker);
      for (int i = 0; i < 4; ++i) {
        const std::int64_t row = cell / target.width * 2 + kOrder[i][0];
        const std::int64_t column = cell % target.width * 2 + kOrder[i][1];
        float* part = merged + i * op.x.cols;
        if (row < source.height && column < source.width) {
          std::copy_n(op.x.row<float>(source.begin + row * source.width + column), op.x.cols, part);
        } else {
          std::fill_n(part, op.x.cols, 0.0F);
        }
      }
      normalise_row(merged, op.norm, merged);
      multiply_rows(merged, 4 * op.x.cols, 1, static_cast<const ReferenceLinear&>(op.reduction),
                    op.y.row<float>(target.begin + cell), op.y.stride);
    });
  }
}

void ReferenceExecutor::execute(const ops::Convolve3x3Stride2& op) {
  scratch_.reserve(static_cast<std::size_t>(9 * op.x.cols));
  for (std::size_t sample = 0; sample < op.from.size(); ++sample) {
    const ops::Grid& source = op.from[sample];
    const ops::Grid& target = op.to[sample];
    for_rows(target.rows(), [&](std::int64_t cell, int worker) {
      float* neighbourhood = scratch_.of(worker);
      for (int i = 0; i < 9; ++i) {
        const std::int64_t row = cell / target.width * 2 - 1 + i / 3;
        const std::int64_t column = cell % target.width * 2 - 1 + i % 3;
        float* part = neighbourhood + i * op.x.cols;
        if (row >= 0 && column >= 0 && row < source.height && column < source.width) {
          std::copy_n(op.x.row<float>(source.begin + row * source.width + column), op.x.cols, part);
        } else {
          std::fill_n(part, op.x.cols, 0.0F);
        }
      }
      multiply_rows(neighbourhood, 9 * op.x.cols, 1, static_cast<const ReferenceLinear&>(op.weight),
                    op.y.row<float>(target.begin + cell), op.y.stride);
    });
  }
}

}  // namespace itemcrop::cpu::reference
