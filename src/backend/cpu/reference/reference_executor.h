#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "backend/cpu/reference/scratch.h"
#include "core/arena.h"
#include "core/thread_pool.h"
#include "ops/executor.h"

namespace itemcrop::cpu::reference {

/// ops::Executor in scalar loops. All float matrices are fp32. Every value is computed by one
/// worker in one order, so results do not depend on the number of threads or on the batch.
class ReferenceExecutor final : public ops::Executor {
 public:
  using Matrix = ops::Matrix;
  using Executor::allocate;
  using Executor::linear;

  ReferenceExecutor(int threads, std::size_t arena_bytes);

  // memory.cpp
  Matrix allocate(std::int64_t rows, std::int64_t cols, DType dtype) override;
  std::size_t peak_bytes() const noexcept override;
  DType activation_dtype() const noexcept override { return DType::kF32; }
  void upload(const float* host, Matrix y) override;
  void download(Matrix x, float* host) override;
  void upload_indices(std::span<const std::int32_t> host, Matrix y) override;
  void download_indices(Matrix x, std::int32_t* host) override;
  void copy(Matrix x, Matrix y) override;
  void assign(const ops::Constant& table, Matrix y) override;
  void gather_rows(Matrix x, Matrix indices, Matrix y) override;

  // picture.cpp
  void image_patches(const ImageView& image, const ops::PixelTransform& transform,
                     Matrix y) override;
  void patch_merge(Matrix x, std::span<const ops::Grid> from, const ops::Norm& norm,
                   const ops::Linear& reduction, Matrix y, std::span<const ops::Grid> to) override;
  void convolve_3x3_stride2(Matrix x, std::span<const ops::Grid> from, const ops::Linear& weight,
                            Matrix y, std::span<const ops::Grid> to) override;

  // window_attention.cpp
  void window_attention(Matrix x, std::span<const ops::Grid> grids,
                        const ops::WindowGeometry& geometry,
                        const ops::WindowAttentionWeights& weights) override;

  // linear.cpp
  void linear(Matrix x, const ops::Linear& weight, Matrix y,
              const ops::LinearOptions& options) override;
  void feed_forward(Matrix x, const ops::FeedForwardWeights& weights, const ops::Norm* norm_before,
                    const ops::Norm* norm_after, Matrix y) override;
  void layer_norm(Matrix x, const ops::Norm& norm, Matrix y) override;
  void group_norm(Matrix x, std::span<const ops::Segment> from, int groups, const ops::Norm& norm,
                  Matrix y, std::span<const ops::Segment> to) override;
  void add(Matrix a, Matrix b, Matrix y) override;
  void add_scaled(Matrix a, const ops::Constant& scale, Matrix b, Matrix y) override;
  void dot_rows(Matrix x, const ops::Constant& vector, Matrix y) override;

  // attention.cpp
  void attention(const ops::AttentionArgs& args, Matrix y) override;

  // text.cpp
  void embed_tokens(std::span<const std::int32_t> ids, std::span<const std::int32_t> position_ids,
                    const ops::Constant& words, const ops::Constant& positions,
                    const ops::Constant& types, Matrix y) override;

  // fusion.cpp
  void folded_fusion(const ops::FoldedFusionArgs& args) override;

  // deformable.cpp
  void deformable_attention(const ops::DeformableArgs& args) override;

  // positions.cpp
  void axis_positions(std::span<const ops::Pyramid> pyramids, const ops::Constant& level_embedding,
                      float temperature, Matrix y) override;
  void box_positions(Matrix boxes, int features, Matrix y) override;

  // heads.cpp
  void mask_proposals(Matrix x, std::span<const ops::Pyramid> pyramids, Matrix y) override;
  void similarity(Matrix x, std::span<const ops::Segment> segments, Matrix text,
                  std::span<const ops::Segment> text_segments, Matrix y) override;
  void max_similarity(Matrix x, std::span<const ops::Segment> segments, Matrix text,
                      std::span<const ops::Segment> text_segments, Matrix y) override;
  void top_k(Matrix scores, std::span<const ops::Segment> segments,
             std::span<const std::int64_t> counts, Matrix y) override;
  void proposal_boxes(Matrix delta, Matrix rows, std::span<const ops::Pyramid> pyramids,
                      Matrix y) override;
  void refine_boxes(Matrix delta, Matrix boxes, Matrix y) override;

 private:
  std::size_t arena_mark() const noexcept override { return arena_.mark(); }
  void arena_release(std::size_t mark) noexcept override { arena_.release(mark); }

  /// body(first row, rows, worker) over blocks of rows, spread over the workers.
  void for_row_blocks(std::int64_t rows,
                      const std::function<void(std::int64_t, std::int64_t, int)>& body);
  /// body(row, worker) for every row, spread over the workers.
  void for_rows(std::int64_t rows, const std::function<void(std::int64_t, int)>& body);

  ThreadPool pool_;
  Arena arena_;
  Scratch scratch_;
};

}  // namespace itemcrop::cpu::reference
