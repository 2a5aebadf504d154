#include "backend/cuda/descriptors.h"
#include "backend/cuda/executor.h"
#include "backend/cuda/kernels/plan.h"
#include "backend/cuda/kernels/positions.h"
#include "backend/cuda/kernels/selection.h"

namespace itemcrop::cuda {

void CudaExecutor::execute(const ops::AxisPositions& op) {
  launch(kernels::launch_axis_positions,
         {.levels = grids(kernels::flatten(op.pyramids)).data,
          .level_count = static_cast<int>(op.pyramids.front().levels.size()),
          .level_embedding = op.level_embedding.data(),
          .temperature = op.temperature,
          .y = op.y});
}

void CudaExecutor::execute(const ops::BoxPositions& op) {
  launch(kernels::launch_box_positions, {.boxes = op.boxes, .features = op.features, .y = op.y});
}

void CudaExecutor::execute(const ops::MaskProposals& op) {
  const std::vector<ops::Grid> flat = kernels::flatten(op.pyramids);
  const Array<kernels::Tile> tiles = this->tiles(flat, kernels::kLevelTileRows);
  launch(kernels::launch_mask_proposals,
         {.x = op.x,
          .y = op.y,
          .levels = grids(flat).data,
          .level_count = static_cast<int>(op.pyramids.front().levels.size()),
          .tiles = tiles.data,
          .tile_count = tiles.count()});
}

void CudaExecutor::score(const ops::SimilarityArgs& args, Matrix y, bool highest) {
  const Array<kernels::Tile> tiles = this->tiles(args.segments, kernels::kSimilarityTileRows);
  launch(highest ? kernels::launch_max_similarity : kernels::launch_similarity,
         {.x = args.x,
          .segments = segments(args.segments).data,
          .text = args.text,
          .text_segments = segments(args.text_segments).data,
          .tiles = tiles.data,
          .tile_count = tiles.count(),
          .scale = args.scale,
          .bias = args.bias,
          .y = y});
}

void CudaExecutor::execute(const ops::Similarity& op) { score(op.args, op.y, false); }

void CudaExecutor::execute(const ops::MaxSimilarity& op) { score(op.args, op.y, true); }

void CudaExecutor::execute(const ops::TopK& op) {
  const kernels::TopKPlan plan = kernels::plan_top_k(op.segments, op.counts);
  const Array<kernels::TopKSegment> selected = staged(plan.segments);
  launch(kernels::launch_top_k,
         {.scores = op.scores,
          .segments = selected.data,
          .segment_count = selected.count(),
          .most = plan.most,
          .shared_bytes = static_cast<std::int64_t>(device_->properties.shared_bytes),
          .y = op.y});
}

void CudaExecutor::execute(const ops::ProposalBoxes& op) {
  const Array<ops::Grid> levels = grids(kernels::flatten(op.pyramids));
  launch(kernels::launch_proposal_boxes,
         {.delta = op.delta,
          .rows = op.rows,
          .levels = levels.data,
          .level_count = static_cast<int>(op.pyramids.front().levels.size()),
          .grid_count = levels.count(),
          .y = op.y});
}

void CudaExecutor::execute(const ops::RefineBoxes& op) {
  launch(kernels::launch_refine_boxes, {.delta = op.delta, .boxes = op.boxes, .y = op.y});
}

}  // namespace itemcrop::cuda
