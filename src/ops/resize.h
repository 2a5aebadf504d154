#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "itemcrop/image.h"

#include "core/thread_pool.h"

namespace itemcrop::ops {

struct ImageSize {
  int width = 0;   ///< columns
  int height = 0;  ///< rows
};

/// The size that the reference resizes an image to: `shortest_edge`, or less where the longer edge
/// would pass `longest_edge`; the aspect ratio is kept. All in pixels, all >= 1. An edge of the
/// result can be 0 where the aspect ratio is extreme (1 x 10000), as in the reference.
/// Source: transformers.image_transforms.get_size_with_aspect_ratio.
ImageSize resized_size(ImageSize image, int shortest_edge, int longest_edge);

/// Pillow's bilinear resize of 8-bit RGB (Resampling.BILINEAR, antialiased), bit for bit: a pass
/// over columns and one over rows, each in fixed point and rounded to 8 bits. Columns first, except
/// where the height loses over twice as many pixels as the width; Pillow before version 13 has no
/// such exception and differs there by a level at most. Const and safe to share between threads.
/// Source: Pillow 13, src/libImaging/Resample.c.
class BilinearResize {
 public:
  /// What one edge's places are made of: fixed-point weights of consecutive source places.
  struct Edge {
    Edge(int from, int to);

    struct Span {
      int begin;
      int count;
    };
    std::vector<Span> spans;
    std::vector<std::int32_t> weights;  ///< [to, taps]
    int taps = 0;
    int max_taps = 0;  ///< widest span
  };

  /// Edges >= 1. Throws Error(kOutOfMemory).
  BilinearResize(ImageSize from, ImageSize to);

  /// Bytes of working memory that resize_rows() needs for `count` rows.
  std::size_t scratch_bytes(int count) const noexcept;

  /// Writes rows [first, first + count) of the result to `output`, 3 * width bytes each. `image`
  /// has the size given as `from`.
  void resize_rows(const ImageView& image, int first, int count, std::uint8_t* output,
                   std::uint8_t* scratch) const;

  ImageSize size() const noexcept { return to_; }

  // For devices that run the passes themselves.
  const Edge& columns() const noexcept { return columns_; }
  const Edge& rows() const noexcept { return rows_; }
  bool rows_first() const noexcept { return rows_first_; }

 private:
  /// One row of `from_.width` pixels to one of `to_.width`.
  void resize_columns(const std::uint8_t* source, std::uint8_t* target) const;
  /// Row `row` of the result, `bytes` wide, from the rows of its span, the first of which is
  /// `source`.
  void blend_rows(const std::uint8_t* source, std::ptrdiff_t stride, int row, std::ptrdiff_t bytes,
                  std::uint8_t* target) const;

  ImageSize from_, to_;
  Edge columns_, rows_;
  bool rows_first_;
};

/// The whole image at once, on `pool`'s threads if given. output: 3 * to.width * to.height bytes.
/// Throws Error(kOutOfMemory).
void resize_bilinear(const ImageView& image, ImageSize to, std::uint8_t* output,
                     ThreadPool* pool = nullptr);

}  // namespace itemcrop::ops
