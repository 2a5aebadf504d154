#pragma once

#include "backend/cuda/kernels/layout.h"

namespace itemcrop::cuda::kernels {

/// One edge of Pillow's bilinear resize: place i sums `count` source places from `begin` with 8-bit
/// fixed-point weights (22 bits).
struct ImageEdge {
  const std::int32_t* spans = nullptr;    ///< begin, count of each place
  const std::int32_t* weights = nullptr;  ///< [to, taps]
  std::int32_t taps = 0;
  std::int32_t from = 0;
  std::int32_t to = 0;  ///< equal edges are copied; spans and weights are not read then
};

/// One image's way from 8-bit RGB on the device to normalised patches.
struct Image {
  const std::uint8_t* pixels = nullptr;  ///< interleaved RGB
  std::int64_t stride = 0;               ///< bytes from one row to the next
  ImageEdge columns, rows;
  std::int32_t rows_first = 0;  ///< order of the passes (ops::BilinearResize)
  std::int32_t patch = 4;       ///< patch edge, at most 32
  float scale[3] = {};
  float shift[3] = {};
  std::uint8_t* between = nullptr;  ///< ImagePlan::workspace_bytes

  // Offsets of the tables within ImagePlan::tables, in values; for attach_tables().
  std::int32_t offsets[4] = {};
};

/// Points a plan's image at its uploaded tables.
inline void attach_tables(Image& image, const std::int32_t* tables) {
  image.columns.spans = tables + image.offsets[0];
  image.columns.weights = tables + image.offsets[1];
  image.rows.spans = tables + image.offsets[2];
  image.rows.weights = tables + image.offsets[3];
}

/// Resizes (two passes), normalises and cuts into patches. The image is passed by value, so its
/// shape belongs to the launch; pixels are read when it runs.
struct ImagePatchesParams {
  Image image;
  Matrix y;  ///< [patches, 3 * patch * patch]
};
void launch_image_patches(Stream stream, const ImagePatchesParams& params);

}  // namespace itemcrop::cuda::kernels
