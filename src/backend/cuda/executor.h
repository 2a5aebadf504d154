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
#include "ops/profiler.h"

namespace itemcrop::cuda {

/// ops::Executor on one stream of a GPU.
///
/// Ops only append commands to a list, which is sent after 32 commands, then after every 160: as a
/// graph where the same list has run before, otherwise one by one. Only download() waits for the
/// device. Host data travels through Staging, whose addresses repeat, so lists of equal shapes are
/// equal.
///
/// Activations are fp32, fp16 or bf16. Whatever the precision: softmax, norms, sampling points,
/// boxes and logits are computed in fp32, and products with exact weights run in fp32.
class CudaExecutor final : public ops::Executor {
 public:
  using Matrix = ops::Matrix;
  using Executor::allocate;

  struct DryRun {};

  /// `threads` host threads at most copy pixels.
  CudaExecutor(std::shared_ptr<const DeviceState> device, std::size_t arena_bytes, int threads);
  /// A planner (ops/planner.h), whose arena also holds what the ops take for themselves: their code
  /// is the one that computes, so a call needs exactly what was measured.
  CudaExecutor(std::shared_ptr<const DeviceState> device, DryRun);
  ~CudaExecutor() override;

  // executor.cpp
  std::size_t peak_bytes() const noexcept override;
  DType activation_dtype() const noexcept override { return device_->activation; }
  const GraphCache& graphs() const noexcept { return graphs_; }
  /// Device times with Tuning::profile; by op, since the last clear.
  ops::Profile& profile();

  // memory.cpp
  Matrix allocate(std::int64_t rows, std::int64_t cols, DType dtype) override;

  // branches.cpp
  ops::Branch select_branch(ops::Branch branch) noexcept override;
  void join() override;
  std::size_t arena_mark() const noexcept override;
  void arena_release(std::size_t mark) noexcept override;

 private:
  ITEMCROP_OPS(ITEMCROP_DECLARE_EXECUTE)

  bool is_dry_run() const noexcept { return stream_ == nullptr; }

  // --- commands (executor.cpp) -------------------------------------------------------------
  template <class Params>
  void launch(void (*function)(kernels::Stream, const Params&), const Params& params) {
    if (!is_dry_run()) {
      launch_small_products();
      fork_if_side_branch();
      commands_.add(branch_, function, params);
    }
    send_if_many();
  }
  /// Before a command of the side branch: the first since join() forks.
  void fork_if_side_branch();
  /// Records the small products that were collected for one launch.
  void launch_small_products();
  void send_if_many();
  /// Submits the recorded commands. `again`: the same list is likely to be recorded again.
  void send(bool again = true);
  /// Waits for all that was sent; staging is reset.
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
  /// The result of `make`, computed once a key until the next wait(): layers share descriptors.
  template <class Value, class Make>
  const Value& cached(std::string key, const Make& make);
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
  void multiply(Matrix x, const ops::LinearWeights& weight, Matrix y,
                ops::Activation activation = ops::Activation::kNone, Matrix residual = {});
  /// y = layer_norm(f(x W^T + b) + residual). y may be the residual, or x itself.
  void multiply_and_normalise(Matrix x, const ops::LinearWeights& weight, const ops::Norm& norm,
                              Matrix y, Matrix residual,
                              ops::Activation activation = ops::Activation::kNone);
  /// What the product is to a kernel of our own; nothing if there is none for it or if it does not
  /// pay. y overlaps x or the residual only where it is the same.
  std::optional<kernels::RowProductParams> row_product(Matrix x, const DeviceLinear& weight,
                                                       Matrix y, ops::Activation activation,
                                                       Matrix residual,
                                                       const ops::Norm* norm) const;
  /// feed_forward() by one kernel; false if there is none for it or if it does not pay.
  bool fused_feed_forward(Matrix x, const ops::FeedForwardWeights& weights, const ops::Norm& norm,
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
  void multiply_grids(Matrix x, const ops::LinearWeights& weight, Matrix y,
                      std::span<const ops::Grid> to);
  /// Whether y = activation(x W^T + b) was added to the next launch of many small products.
  bool join_small_products(Matrix x, const float* weight, std::int64_t weight_stride,
                           const float* bias, Matrix y, ops::Activation activation);
  void score(const ops::SimilarityArgs& args, Matrix y, bool highest);

  std::shared_ptr<const DeviceState> device_;
  std::unique_ptr<OwnedStream> stream_;  ///< null: a dry run

  /// The main branch takes memory from the arena's beginning, the side branch from its end.
  struct Extent {
    std::size_t used = 0;
    std::size_t reached = 0;  ///< most in this call
    std::size_t peak = 0;
  };
  Extent& extent() noexcept { return extents_[static_cast<std::size_t>(branch_)]; }
  const Extent& extent() const noexcept { return extents_[static_cast<std::size_t>(branch_)]; }

  Memory arena_;
  Extent extents_[2];
  ops::Branch branch_ = ops::Branch::kMain;
  bool forked_ = false;  ///< commands of the side branch were recorded since the last join
  std::unique_ptr<OwnedStream> side_stream_;
  std::unique_ptr<Event> fork_, join_;

  Memory workspaces_[2];  ///< of products, one a branch
  Memory tickets_;        ///< of feed-forward networks, zero between launches
  CommandList commands_;
  /// Independent products of few rows, which share a launch: every head of every prompt.
  std::vector<kernels::SmallProduct> small_products_;
  ops::Branch small_products_branch_ = ops::Branch::kMain;
  CommandList sent_;  ///< the list being sent, with its copies before it
  GraphCache graphs_;
  std::size_t lists_ = 0;   ///< sent since the last wait
  bool in_flight_ = false;  ///< something may be running on the device

  Staging staging_;
  std::map<std::string, std::shared_ptr<const void>, std::less<>> descriptor_cache_;
  Memory results_;  ///< page-locked, what download() reads

  /// Pixels and tables of images: their sizes vary, so they are kept apart from staging_.
  struct PixelUpload;
  std::unique_ptr<PixelUpload> pixels_;

  class EventProfiler;
  std::unique_ptr<EventProfiler> events_;  ///< null: no profile
};

}  // namespace itemcrop::cuda
