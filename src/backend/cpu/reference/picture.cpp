#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "backend/cpu/reference/reference_executor.h"
#include "backend/cpu/reference/rows.h"
#include "ops/resize.h"

namespace itemcrop::cpu::reference {

void ReferenceExecutor::image_patches(const ImageView& image, const ops::PixelTransform& transform,
                                      Matrix y) {
  const std::size_t pixel_bytes =
      3 * static_cast<std::size_t>(transform.width) * static_cast<std::size_t>(transform.height);
  auto* pixels = reinterpret_cast<std::uint8_t*>(
      scratch_.reserve_shared((pixel_bytes + sizeof(float) - 1) / sizeof(float)));
  ops::resize_bilinear(image, {transform.width, transform.height}, pixels, &pool_);
  const int patch = transform.patch;
  const int patches_across = (transform.width + patch - 1) / patch;
  for_rows(y.rows, [&](std::int64_t r, int) {
    const auto top = static_cast<int>(r / patches_across) * patch;
    const auto left = static_cast<int>(r % patches_across) * patch;
    float* output = y.row<float>(r);
    for (int channel = 0; channel < 3; ++channel) {
      for (int row = top; row < top + patch; ++row) {
        for (int column = left; column < left + patch; ++column) {
          const bool inside = row < transform.height && column < transform.width;
          const auto pixel =
              (static_cast<std::size_t>(row) * static_cast<std::size_t>(transform.width) +
               static_cast<std::size_t>(column)) *
                  3 +
              static_cast<std::size_t>(channel);
          *output++ = inside ? static_cast<float>(pixels[pixel]) * transform.scale[channel] +
                                   transform.shift[channel]
                             : 0.0F;
        }
      }
    }
  });
}

void ReferenceExecutor::patch_merge(Matrix x, std::span<const ops::Grid> from,
                                    const ops::Norm& norm, const ops::Linear& reduction, Matrix y,
                                    std::span<const ops::Grid> to) {
  constexpr int kOrder[4][2] = {{0, 0}, {1, 0}, {0, 1}, {1, 1}};  // row, column
  scratch_.reserve(static_cast<std::size_t>(4 * x.cols));
  for (std::size_t sample = 0; sample < from.size(); ++sample) {
    const ops::Grid& source = from[sample];
    const ops::Grid& target = to[sample];
    for_rows(target.rows(), [&](std::int64_t cell, int worker) {
      float* merged = scratch_.of(worker);
      for (int i = 0; i < 4; ++i) {
        const std::int64_t row = cell / target.width * 2 + kOrder[i][0];
        const std::int64_t column = cell % target.width * 2 + kOrder[i][1];
        float* part = merged + i * x.cols;
        if (row < source.height && column < source.width) {
          std::copy_n(x.row<float>(source.begin + row * source.width + column), x.cols, part);
        } else {
          std::fill_n(part, x.cols, 0.0F);
        }
      }
      normalise_row(merged, norm, merged);
      multiply_rows(merged, 4 * x.cols, 1, static_cast<const ReferenceLinear&>(reduction),
                    y.row<float>(target.begin + cell), y.stride);
    });
  }
}

void ReferenceExecutor::convolve_3x3_stride2(Matrix x, std::span<const ops::Grid> from,
                                             const ops::Linear& weight, Matrix y,
                                             std::span<const ops::Grid> to) {
  scratch_.reserve(static_cast<std::size_t>(9 * x.cols));
  for (std::size_t sample = 0; sample < from.size(); ++sample) {
    const ops::Grid& source = from[sample];
    const ops::Grid& target = to[sample];
    for_rows(target.rows(), [&](std::int64_t cell, int worker) {
      float* neighbourhood = scratch_.of(worker);
      for (int i = 0; i < 9; ++i) {
        const std::int64_t row = cell / target.width * 2 - 1 + i / 3;
        const std::int64_t column = cell % target.width * 2 - 1 + i % 3;
        float* part = neighbourhood + i * x.cols;
        if (row >= 0 && column >= 0 && row < source.height && column < source.width) {
          std::copy_n(x.row<float>(source.begin + row * source.width + column), x.cols, part);
        } else {
          std::fill_n(part, x.cols, 0.0F);
        }
      }
      multiply_rows(neighbourhood, 9 * x.cols, 1, static_cast<const ReferenceLinear&>(weight),
                    y.row<float>(target.begin + cell), y.stride);
    });
  }
}

}  // namespace itemcrop::cpu::reference
