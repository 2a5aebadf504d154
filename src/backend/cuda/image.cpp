#include "backend/cuda/kernels/image.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "backend/cuda/descriptors.h"
#include "backend/cuda/executor.h"
#include "backend/cuda/kernels/plan.h"
#include "backend/cuda/kernels/rows.h"
#include "backend/cuda/pixel_upload.h"

namespace itemcrop::cuda {
namespace {

/// Runs of rows without gaps that grids cover.
std::vector<ops::Segment> covered_rows(std::span<const ops::Grid> grids) {
  std::vector<ops::Segment> rows;
  for (const ops::Grid& grid : grids) rows.push_back({grid.begin, grid.rows()});
  std::ranges::sort(rows, {}, &ops::Segment::begin);
  std::vector<ops::Segment> runs;
  for (const ops::Segment& next : rows) {
    if (!runs.empty() && runs.back().end() == next.begin) {
      runs.back().rows += next.rows;
    } else {
      runs.push_back(next);
    }
  }
  return runs;
}

}  // namespace

// Sent off at once and by itself: images come in any size, so this part is not the same twice,
// while all that follows depends on the resized sizes alone.
void CudaExecutor::execute(const ops::ImagePatches& op) {
  kernels::ImagePlan plan = kernels::plan_image(op.image.width, op.image.height, op.transform);
  const std::int64_t row_bytes = std::int64_t{3} * op.image.width;
  const Matrix pixels = allocate(op.image.height, row_bytes, DType::kU8);
  const Matrix between = allocate(1, static_cast<std::int64_t>(plan.workspace_bytes), DType::kU8);
  if (is_dry_run()) return;
  send();  // what was recorded before, in order
  select_device(device_->index);
  in_flight_ = true;

  const auto rows_at_once =
      std::max<std::int64_t>(1, static_cast<std::int64_t>(PixelUpload::kChunkBytes) / row_bytes);
  for (std::int64_t row = 0; row < op.image.height; row += rows_at_once) {
    const std::int64_t count = std::min<std::int64_t>(rows_at_once, op.image.height - row);
    PixelUpload::Chunk& chunk = pixels_->next_chunk();
    chunk.free.wait();
    pixels_->copy_rows(op.image, row, count, chunk.host.data());
    cuda::copy(stream_->get(), pixels.row<std::byte>(row), chunk.host.data(),
               static_cast<std::size_t>(count * row_bytes));
    chunk.free.record(stream_->get());
  }

  plan.image.pixels = static_cast<const std::uint8_t*>(pixels.data);
  plan.image.stride = row_bytes;
  plan.image.between = static_cast<std::uint8_t*>(between.data);
  kernels::attach_tables(plan.image,
                         pixels_->tables.put(std::span<const std::int32_t>(plan.tables)));
  CommandList once;
  pixels_->tables.commit(once);
  once.add(branch_, kernels::launch_image_patches,
           kernels::ImagePatchesParams{.image = plan.image, .y = op.y});
  once.run(context());
}

void CudaExecutor::multiply_grids(Matrix x, const ops::LinearWeights& weight, Matrix y,
                                  std::span<const ops::Grid> to) {
  for (const ops::Segment& run : covered_rows(to)) {
    multiply(x.row_range(run.begin, run.rows), weight, y.row_range(run.begin, run.rows));
  }
}

void CudaExecutor::execute(const ops::PatchMerge& op) {
  const Matrix merged = allocate(op.y.rows, 4 * op.x.cols, on_device(op.reduction).dtype());
  const Array<kernels::Tile> tiles = this->tiles(op.to, kernels::kMergeTileRows);
  launch(kernels::launch_patch_merge, {.x = op.x,
                                       .y = merged,
                                       .from = grids(op.from).data,
                                       .to = grids(op.to).data,
                                       .tiles = tiles.data,
                                       .tile_count = tiles.count(),
                                       .weight = op.norm.weight->data(),
                                       .bias = op.norm.bias->data(),
                                       .epsilon = op.norm.epsilon});
  multiply_grids(merged, op.reduction, op.y, op.to);
}

void CudaExecutor::execute(const ops::Convolve3x3Stride2& op) {
  const Matrix unfolded = allocate(op.y.rows, 9 * op.x.cols, on_device(op.weight).dtype());
  const Array<kernels::Tile> tiles = this->tiles(op.to, kernels::kUnfoldTileRows);
  launch(kernels::launch_unfold_3x3_stride2, {.x = op.x,
                                              .y = unfolded,
                                              .from = grids(op.from).data,
                                              .to = grids(op.to).data,
                                              .tiles = tiles.data,
                                              .tile_count = tiles.count()});
  multiply_grids(unfolded, op.weight, op.y, op.to);
}

}  // namespace itemcrop::cuda
