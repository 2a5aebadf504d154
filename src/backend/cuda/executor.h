#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend/cuda/commands.h"
#include "backend/cuda/device.h"
#include "backend/cuda/graph_cache.h"
#include "backend/cuda/kernels/layout.h"
#include "backend/cuda/kernels/small_products.h"
#include "backend/cuda/staging.h"
#include "ops/executor.h"

namespace itemcrop::cuda {

/// Device time of one op in a profiled executor.
struct OpTime {
  double milliseconds = 0;
  int calls = 0;
};

/// ops::Executor on one stream of a GPU.
///
/// Ops only write commands down. Every few hundred commands they are sent off: as a graph where the
/// same list has run before, otherwise one by one. Nothing waits for the device but download().
/// Host data travels through Staging, whose addresses repeat, so lists of equal shapes are equal.
///
/// Activations are fp32, fp16 or bf16. Whatever the precision: softmax, norms, sampling points,
/// boxes and logits are computed in fp32, and products with exact weights run in fp32.
class CudaExecutor final : public ops::Executor {
 public:
  using Matrix = ops::Matrix;
  using Executor::allocate;
  using Executor::linear;

  struct Rehearsal {};

  /// `threads` host threads at most copy pixels.
  CudaExecutor(std::shared_ptr<const DeviceState> device, std::size_t arena_bytes, int threads);
  /// One that has no memory and runs nothing: it measures what the ops take from the arena.
  CudaExecutor(std::shared_ptr<const DeviceState> device, Rehearsal);
  ~CudaExecutor() override;

  // executor.cpp
  std::size_t peak_bytes() const noexcept override;
  DType activation_dtype() const noexcept override { return device_->activation; }
  const GraphCache& graphs() const noexcept { return graphs_; }
  /// With Tuning::profile; by op, since the last clear.
  std::map<std::string, OpTime>& op_times();

  // memory.cpp
  Matrix allocate(std::int64_t rows, std::int64_t cols, DType dtype) override;
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

  // linear.cpp
  void linear(Matrix x, const ops::Linear& weight, Matrix y,
              const ops::LinearOptions& options) override;
  void feed_forward(Matrix x, const ops::FeedForwardWeights& weights, const ops::Norm* norm_before,
                    const ops::Norm* norm_after, Matrix y) override;

  // rows.cpp
  void layer_norm(Matrix x, const ops::Norm& norm, Matrix y) override;
  void group_norm(Matrix x, std::span<const ops::Segment> from, int groups, const ops::Norm& norm,
                  Matrix y, std::span<const ops::Segment> to) override;
  void add(Matrix a, Matrix b, Matrix y) override;
  void add_scaled(Matrix a, const ops::Constant& scale, Matrix b, Matrix y) override;
  void dot_rows(Matrix x, const ops::Constant& vector, Matrix y) override;
  void embed_tokens(std::span<const std::int32_t> ids, std::span<const std::int32_t> position_ids,
                    const ops::Constant& words, const ops::Constant& positions,
                    const ops::Constant& types, Matrix y) override;

  // attention.cpp
  void window_attention(Matrix x, std::span<const ops::Grid> grids,
                        const ops::WindowGeometry& geometry,
                        const ops::WindowAttentionWeights& weights) override;
  void attention(const ops::AttentionArgs& args, Matrix y) override;
  void folded_fusion(const ops::FoldedFusionArgs& args) override;
  void deformable_attention(const ops::DeformableArgs& args) override;

  // heads.cpp
  void axis_positions(std::span<const ops::Pyramid> pyramids, const ops::Constant& level_embedding,
                      float temperature, Matrix y) override;
  void box_positions(Matrix boxes, int features, Matrix y) override;
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

  // branches.cpp
  ops::Branch select_branch(ops::Branch branch) noexcept override;
  void join() override;
  std::size_t arena_mark() const noexcept override;
  void arena_release(std::size_t mark) noexcept override;

 private:
  /// An op's extent: what it takes from the arena ends with it, and a profile counts its time.
  class Op;

  bool rehearses() const noexcept { return stream_ == nullptr; }

  // --- commands (executor.cpp) -------------------------------------------------------------
  template <class Params>
  void launch(void (*function)(kernels::Stream, const Params&), const Params& params) {
    if (!rehearses()) {
      launch_small_products();
      fork_if_aside();
      commands_.add(branch_, function, params);
    }
    send_if_many();
  }
  /// Before a command of the side branch: the first since join() forks.
  void fork_if_aside();
  /// Writes down the small products that wait for company.
  void launch_small_products();
  void send_if_many();
  /// Sends off what is written down. `again` says whether the same list is likely to come again.
  void send(bool again = true);
  /// Waits for all that was sent; staging starts anew.
  void wait();
  CommandContext context() const noexcept;

  // --- host data (descriptors.cpp) -----------------------------------------------------------
  /// A descriptor array on the device.
  template <class T>
  struct Array {
    const T* data = nullptr;
    std::int64_t size = 0;

    int count() const noexcept { return static_cast<int>(size); }
  };
  template <class T>
  Array<T> staged(std::span<const T> values);
  template <class T>
  Array<T> staged(const std::vector<T>& values) {
    return staged(std::span<const T>(values));
  }
  /// What `make` returns, made once for a key until the next wait(): layers share descriptors.
  template <class Value, class Make>
  const Value& remembered(std::string key, const Make& make);
  Array<ops::Segment> segments(std::span<const ops::Segment> segments);
  Array<ops::Grid> grids(std::span<const ops::Grid> grids);
  Array<kernels::Tile> tiles(std::span<const ops::Segment> segments, std::int64_t rows);
  Array<kernels::Tile> tiles(std::span<const ops::Grid> grids, std::int64_t rows);

  // --- parts of ops (linear.cpp) -------------------------------------------------------------
  /// x itself, or a copy of that type from the arena.
  Matrix as(Matrix x, DType dtype);
  /// layer_norm(x + residual), as y's type.
  void normalise(Matrix x, const ops::Norm& norm, Matrix y, Matrix residual = {});
  /// y = activation(x W^T + b) + residual, of any types; y may be the residual but not x.
  void multiply(Matrix x, const ops::Linear& weight, Matrix y,
                ops::Activation activation = ops::Activation::kNone, Matrix residual = {});
  /// y = layer_norm(f(x W^T + b) + residual). y may be the residual, or x itself.
  void multiply_and_normalise(Matrix x, const ops::Linear& weight, const ops::Norm& norm, Matrix y,
                              Matrix residual, ops::Activation activation = ops::Activation::kNone);
  /// What the product is to a kernel of our own; nothing if there is none for it or if it does not
  /// pay. y overlaps x or the residual only where it is the same.
  std::optional<kernels::RowProductParams> row_product(Matrix x, const DeviceLinear& weight,
                                                       Matrix y, ops::Activation activation,
                                                       Matrix residual,
                                                       const ops::Norm* norm) const;
  /// feed_forward() by one kernel; false if there is none for it or if it does not pay.
  bool feed_forward_at_once(Matrix x, const ops::FeedForwardWeights& weights, const ops::Norm& norm,
                            Matrix y);
  /// The product by a kernel of our own, or with as much of its epilogue as the library fuses;
  /// false if neither has a way for how these matrices lie.
  bool multiply_in_place(Matrix x, const DeviceLinear& weight, Matrix y, ops::Activation activation,
                         Matrix residual);
  /// Rows of an op's pieces if each leaves `row_bytes` between its kernels: Tuning::piece_bytes.
  std::int64_t piece_rows(std::int64_t rows, std::size_t row_bytes) const noexcept;
  /// window_attention of grids that lie end to end.
  void attend_in_windows(Matrix x, std::span<const ops::Grid> all_grids,
                         const ops::WindowGeometry& geometry,
                         const ops::WindowAttentionWeights& weights);
  /// y = (neighbourhoods of to's cells) W^T + b for the rows of y that `to` covers.
  void multiply_grids(Matrix x, const ops::Linear& weight, Matrix y, std::span<const ops::Grid> to);
  /// Whether y = activation(x W^T + b) is left to a launch that does many such products at once.
  bool join_small_products(Matrix x, const float* weight, std::int64_t weight_stride,
                           const float* bias, Matrix y, ops::Activation activation);
  void score(Matrix x, std::span<const ops::Segment> segments, Matrix text,
             std::span<const ops::Segment> text_segments, Matrix y, bool highest);

  std::shared_ptr<const DeviceState> device_;
  std::unique_ptr<OwnedStream> stream_;  ///< null: a rehearsal

  /// The main branch takes memory from the arena's beginning, the side branch from its end.
  struct Extent {
    std::size_t used = 0;
    std::size_t peak = 0;
  };
  Extent& extent() noexcept { return extents_[static_cast<std::size_t>(branch_)]; }
  const Extent& extent() const noexcept { return extents_[static_cast<std::size_t>(branch_)]; }

  Memory arena_;
  Extent extents_[2];
  ops::Branch branch_ = ops::Branch::kMain;
  bool forked_ = false;  ///< commands of the side branch were written down since the last join
  std::unique_ptr<OwnedStream> side_stream_;
  std::unique_ptr<Event> fork_, join_;

  Memory workspaces_[2];  ///< of products, one a branch
  CommandList commands_;
  /// Independent products of few rows, which share a launch: every head of every prompt.
  std::vector<kernels::SmallProduct> small_products_;
  ops::Branch small_products_branch_ = ops::Branch::kMain;
  CommandList sent_;  ///< the list being sent, with its copies before it
  GraphCache graphs_;
  std::size_t lists_ = 0;   ///< sent since the last wait
  bool under_way_ = false;  ///< something may run on the device

  Staging staging_;
  std::map<std::string, std::shared_ptr<const void>, std::less<>> remembered_;
  Memory results_;  ///< page-locked, what download() reads

  /// Pixels and tables of pictures: their sizes vary, so they are kept apart from staging_.
  struct PixelUpload;
  std::unique_ptr<PixelUpload> pixels_;

  struct Profile;
  std::unique_ptr<Profile> profile_;
};

}  // namespace itemcrop::cuda
