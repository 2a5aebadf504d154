#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "backend/cpu/gemm.h"
#include "backend/cpu/kernels/deformable.h"
#include "backend/cpu/workspace.h"
#include "core/arena.h"
#include "core/thread_pool.h"
#include "ops/executor.h"

namespace itemcrop::cpu {

/// Consecutive rows that one task computes; at most CpuExecutor::kTileRows.
struct RowTile {
  std::int64_t begin = 0;
  std::int64_t rows = 0;
  std::size_t segment = 0;  ///< which segment it lies in
};

/// ops::Executor on vector kernels and packed matrix products. Work is cut into tiles of rows whose
/// intermediate results stay in a core's cache; a tile runs on one worker from its first norm to
/// its last. Tiles start at a segment's first row and partial sums are merged in tile order, so
/// results depend neither on the number of threads nor on the batch. Activations are fp32.
class CpuExecutor final : public ops::Executor {
 public:
  using Matrix = ops::Matrix;
  using Executor::allocate;

  /// `bf16`: products made for a call alone (the fusion's) are rounded as the weights' are.
  CpuExecutor(std::shared_ptr<const GemmEngine> gemm, bool bf16, int threads,
              std::size_t arena_bytes);

  // memory.cpp
  Matrix allocate(std::int64_t rows, std::int64_t cols, DType dtype) override;
  std::size_t peak_bytes() const noexcept override;
  DType activation_dtype() const noexcept override { return DType::kF32; }

  /// Most rows of a tile: enough for a product's kernels, few enough to stay in the L2 cache.
  static constexpr std::int64_t kTileRows = 128;

 private:
  ITEMCROP_OPS(ITEMCROP_DECLARE_EXECUTE)

  std::size_t arena_mark() const noexcept override { return arena_.mark(); }
  void arena_release(std::size_t mark) noexcept override { arena_.release(mark); }

  /// body(task, workspace) for every task, spread over the workers; the workspace is empty.
  using TaskBody = std::function<void(std::int64_t, Workspace&)>;
  void for_tasks(std::int64_t tasks, const TaskBody& body);
  /// body(tile, workspace) for the tiles of every segment. Tiles shrink where rows are too few to
  /// occupy every worker, so what is merged over tiles must ask for a size with `tile_rows`.
  using TileBody = std::function<void(const RowTile&, Workspace&)>;
  void for_tiles(std::span<const ops::Segment> segments, const TileBody& body,
                 std::int64_t tile_rows = 0);
  void for_tiles(std::int64_t rows, const TileBody& body);

  /// max_similarity (y: one column) and similarity share the products.
  using TileScores = std::function<void(const RowTile&, const float* scores, std::int64_t stride)>;
  void score_tiles(const ops::SimilarityArgs& args, const TileScores& use);

  /// Copies one pyramid's values to shared_, head by head, and points the map there.
  void pack_heads(const ops::Matrix& value, const ops::Segment& cells, kernels::SampleMap& map);
  /// Deformable attention of one sample's queries.
  void attend_deformably(const ops::DeformableAttention& args, std::size_t sample,
                         const kernels::SampleMap& map);

  std::shared_ptr<const GemmEngine> gemm_;
  bool bf16_;
  ThreadPool pool_;
  Arena arena_;
  std::vector<Workspace> workers_;
  Workspace shared_;  ///< what tasks of one op leave for each other
};

}  // namespace itemcrop::cpu
