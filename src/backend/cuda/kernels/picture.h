#pragma once

#include "backend/cuda/kernels/layout.h"

namespace itemcrop::cuda::kernels {

/// One edge of Pillow's bilinear resize: place i sums `count` source places from `begin` with 8-bit
/// fixed-point weights (22 bits).
struct PictureEdge {
  const std::int32_t* spans = nullptr;    ///< begin, count of each place
  const std::int32_t* weights = nullptr;  ///< [to, taps]
  std::int32_t taps = 0;
  std::int32_t from = 0;
  std::int32_t to = 0;  ///< equal edges are copied; spans and weights are not read then
};

/// One picture's way from 8-bit RGB on the device to normalised patches.
struct Picture {
  const std::uint8_t* pixels = nullptr;  ///< interleaved RGB
  std::int64_t stride = 0;               ///< bytes from one row to the next
  PictureEdge columns, rows;
  std::int32_t rows_first = 0;  ///< order of the passes (ops::BilinearResize)
  std::int32_t patch = 4;       ///< patch edge, at most 32
  float scale[3] = {};
  float shift[3] = {};
  std::uint8_t* between = nullptr;  ///< PicturePlan::workspace_bytes

  // Offsets of the tables within PicturePlan::tables, in values; for attach_tables().
  std::int32_t offsets[4] = {};
};

/// Points a plan's picture at its uploaded tables.
inline void attach_tables(Picture& picture, const std::int32_t* tables) {
  picture.columns.spans = tables + picture.offsets[0];
  picture.columns.weights = tables + picture.offsets[1];
  picture.rows.spans = tables + picture.offsets[2];
  picture.rows.weights = tables + picture.offsets[3];
}

/// Resizes (two passes), normalises and cuts into patches. The picture is passed by value, so its
/// shape belongs to the launch; pixels are read when it runs.
struct PicturePatchesParams {
  Picture picture;
  Matrix y;  ///< [patches, 3 * patch * patch]
};
void launch_picture_patches(Stream stream, const PicturePatchesParams& params);

}  // namespace itemcrop::cuda::kernels
