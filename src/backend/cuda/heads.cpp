#include "backend/cuda/descriptors.h"
#include "backend/cuda/kernels/plan.h"
#include "backend/cuda/kernels/positions.h"
#include "backend/cuda/kernels/selection.h"
#include "backend/cuda/op.h"

namespace itemcrop::cuda {

void CudaExecutor::axis_positions(std::span<const ops::Pyramid> pyramids,
                                  const ops::Constant& level_embedding, float temperature,
                                  Matrix y) {
  const Op op(*this, "axis_positions");
  launch(kernels::launch_axis_positions,
         {.levels = grids(kernels::flatten(pyramids)).data,
          .level_count = static_cast<int>(pyramids.front().levels.size()),
          .level_embedding = level_embedding.data(),
          .temperature = temperature,
          .y = y});
}

void CudaExecutor::box_positions(Matrix boxes, int features, Matrix y) {
  const Op op(*this, "box_positions");
  launch(kernels::launch_box_positions, {.boxes = boxes, .features = features, .y = y});
}

void CudaExecutor::mask_proposals(Matrix x, std::span<const ops::Pyramid> pyramids, Matrix y) {
  const Op op(*this, "mask_proposals");
  const std::vector<ops::Grid> flat = kernels::flatten(pyramids);
  const Array<kernels::Tile> tiles = this->tiles(flat, kernels::kLevelTileRows);
  launch(kernels::launch_mask_proposals,
         {.x = x,
          .y = y,
          .levels = grids(flat).data,
          .level_count = static_cast<int>(pyramids.front().levels.size()),
          .tiles = tiles.data,
          .tile_count = tiles.count()});
}

void CudaExecutor::score(Matrix x, std::span<const ops::Segment> segments, Matrix text,
                         std::span<const ops::Segment> text_segments, Matrix y, bool highest) {
  const Array<kernels::Tile> tiles = this->tiles(segments, kernels::kSimilarityTileRows);
  launch(highest ? kernels::launch_max_similarity : kernels::launch_similarity,
         {.x = x,
          .segments = this->segments(segments).data,
          .text = text,
          .text_segments = this->segments(text_segments).data,
          .tiles = tiles.data,
          .tile_count = tiles.count(),
          .y = y});
}

void CudaExecutor::similarity(Matrix x, std::span<const ops::Segment> segments, Matrix text,
                              std::span<const ops::Segment> text_segments, Matrix y) {
  const Op op(*this, "similarity");
  score(x, segments, text, text_segments, y, false);
}

void CudaExecutor::max_similarity(Matrix x, std::span<const ops::Segment> segments, Matrix text,
                                  std::span<const ops::Segment> text_segments, Matrix y) {
  const Op op(*this, "max_similarity");
  score(x, segments, text, text_segments, y, true);
}

void CudaExecutor::top_k(Matrix scores, std::span<const ops::Segment> segments,
                         std::span<const std::int64_t> counts, Matrix y) {
  const Op op(*this, "top_k");
  const kernels::TopKPlan plan = kernels::plan_top_k(segments, counts);
  const Array<kernels::TopKSegment> selected = staged(plan.segments);
  launch(kernels::launch_top_k,
         {.scores = scores,
          .segments = selected.data,
          .segment_count = selected.count(),
          .most = plan.most,
          .shared_bytes = static_cast<std::int64_t>(device_->properties.shared_bytes),
          .y = y});
}

void CudaExecutor::proposal_boxes(Matrix delta, Matrix rows, std::span<const ops::Pyramid> pyramids,
                                  Matrix y) {
  const Op op(*this, "proposal_boxes");
  const Array<ops::Grid> levels = grids(kernels::flatten(pyramids));
  launch(kernels::launch_proposal_boxes,
         {.delta = delta,
          .rows = rows,
          .levels = levels.data,
          .level_count = static_cast<int>(pyramids.front().levels.size()),
          .grid_count = levels.count(),
          .y = y});
}

void CudaExecutor::refine_boxes(Matrix delta, Matrix boxes, Matrix y) {
  const Op op(*this, "refine_boxes");
  launch(kernels::launch_refine_boxes, {.delta = delta, .boxes = boxes, .y = y});
}

}  // namespace itemcrop::cuda
