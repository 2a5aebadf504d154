#pragma once

#include <cstdint>
#include <vector>

namespace itemcrop::cpu::kernels {

/// One pyramid's value map and where each of a head's samples (level, point) looks in it. Tables
/// hold one entry a sample, padded to whole vectors.
struct SampleMap {
  const void* value = nullptr;   ///< the pyramid's first cell; bf16 or fp32
  bool bf16 = false;             ///< head_dim is then a multiple of 8
  std::int64_t cell_stride = 0;  ///< elements from one cell to the next
  std::int64_t head_stride = 0;  ///< elements from one head's columns to the next's
  std::int64_t heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t samples = 0;         ///< of one head
  std::vector<float> width;         ///< of the sample's level, in cells
  std::vector<float> height;        ///< of the sample's level, in cells
  std::vector<std::int32_t> first;  ///< row of the level's first cell within the pyramid
};

/// A query's reference: its centre and, for boxes, how far an offset of 1 reaches; in [0, 1].
struct SampleReference {
  float x = 0, y = 0;
  float reach_x = 0, reach_y = 0;
  bool is_box = false;  ///< else an offset of 1 reaches one cell of the sampled level
};

/// Queries of multi-scale deformable attention. Row r of `projection` holds [heads, samples, 2]
/// offsets (x, y), then [heads, samples] attention scores; row r of y [heads * head_dim] = per
/// head, the sum over its samples of softmax(score) * bilinear sample (zeros outside).
struct SampleRows {
  const SampleReference* references = nullptr;  ///< [rows]
  const float* projection = nullptr;
  std::int64_t projection_stride = 0;
  std::int64_t rows = 0;
  float* y = nullptr;
  std::int64_t y_stride = 0;
};
void sample_rows(const SampleMap& map, const SampleRows& queries, float* scratch);

/// Floats of working memory that sample_rows() needs.
std::int64_t sample_scratch(const SampleMap& map);

}  // namespace itemcrop::cpu::kernels
