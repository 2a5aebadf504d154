#include "model/proposals.h"

#include <algorithm>
#include <string>

namespace itemcrop::model {
namespace {

/// Reports the whole logit matrix and the chosen rows; run() itself keeps only each row's maximum.
void tap_selection(ops::Executor& executor, const SampleBatch& batch, const ClassHead& head,
                   ops::Matrix scored, ops::Matrix selected,
                   std::span<const ops::Segment> query_segments, const StageTap& tap) {
  const ops::ArenaScope scope(executor);
  const std::vector<ops::Segment>& text_segments = batch.text_input->segments;
  std::vector<std::int32_t> chosen(static_cast<std::size_t>(selected.rows));
  executor.download_indices(selected, chosen.data());
  for (std::size_t s = 0; s < text_segments.size(); ++s) {
    const ops::Segment& rows = batch.vision_segments[s];
    std::vector<float> logits(static_cast<std::size_t>(rows.rows * text_segments[s].rows));
    const ops::ArenaScope sample_scope(executor);
    ops::Matrix y = executor.allocate(rows.rows, text_segments[s].rows, DType::kF32);
    const ops::Segment all_rows{0, rows.rows};
    executor.run(ops::Similarity{{.x = scored.row_range(rows.begin, rows.rows),
                                  .segments = std::span(&all_rows, 1),
                                  .text = batch.text,
                                  .text_segments = std::span(&text_segments[s], 1),
                                  .scale = head.scale,
                                  .bias = head.bias},
                                 y});
    executor.download(y, logits.data());
    tap.values("proposals.logits", static_cast<int>(s), logits.data(), y.rows, y.cols);
    std::vector<float> within;
    for (std::int64_t q = 0; q < query_segments[s].rows; ++q) {
      const auto row = chosen[static_cast<std::size_t>(query_segments[s].begin + q)];
      within.push_back(static_cast<float>(row - rows.begin));
    }
    tap.values("queries.topk", static_cast<int>(s), within.data(), query_segments[s].rows, 1);
  }
}

}  // namespace

Proposals::Proposals(const WeightLoader& loader, LoadJobs& jobs)
    : queries_(loader.config().queries),
      class_head_(load_class_head(loader, "model.encoder_output_class_embed.bias")) {
  jobs.emplace_back([this, loader] {
    output_ = loader.linear("model.enc_output");
    norm_ = loader.norm("model.enc_output_norm", loader.config().layer_norm_eps);
    const io::ModelConfig& config = loader.config();
    const bool shared = config.two_stage_bbox_embed_share && config.decoder_bbox_embed_share;
    box_head_ = std::make_unique<PredictionHead>(
        loader, shared ? "bbox_embed.0" : "model.encoder_output_bbox_embed", kBoxHeadLayers);
  });
}

std::int64_t Proposals::count(std::int64_t cells) const noexcept {
  return std::min(queries_, cells);
}

void Proposals::run(ops::Executor& executor, const SampleBatch& batch,
                    std::span<const ops::Segment> query_segments, ops::Matrix boxes,
                    const ModelSwitches& switches, const StageTap& tap) const {
  const ops::ArenaScope scope(executor);
  ops::Matrix scored = executor.allocate(batch.vision.rows, batch.vision.cols);
  executor.run(ops::MaskProposals{batch.vision, batch.pyramids, scored});
  executor.run(ops::Linear{scored, *output_, scored, {.norm_after = &norm_}});

  ops::Matrix scores = executor.allocate(batch.vision.rows, 1, DType::kF32);
  executor.run(ops::MaxSimilarity{{.x = scored,
                                   .segments = batch.vision_segments,
                                   .text = batch.text,
                                   .text_segments = batch.text_input->segments,
                                   .scale = class_head_.scale,
                                   .bias = class_head_.bias},
                                  scores});
  ops::Matrix selected = executor.allocate(boxes.rows, 1, DType::kI32);
  std::vector<std::int64_t> counts;
  for (const ops::Segment& queries : query_segments) counts.push_back(queries.rows);
  executor.run(ops::TopK{scores, batch.vision_segments, counts, selected});
  if (tap) tap_selection(executor, batch, class_head_, scored, selected, query_segments, tap);

  ops::Matrix delta = executor.allocate(boxes.rows, 4, DType::kF32);
  if (switches.selected_boxes_only) {
    ops::Matrix chosen = executor.allocate(boxes.rows, scored.cols);
    executor.run(ops::GatherRows{scored, selected, chosen});
    box_head_->run(executor, chosen, delta);
  } else {
    ops::Matrix all = executor.allocate(scored.rows, 4, DType::kF32);
    box_head_->run(executor, scored, all);
    executor.run(ops::GatherRows{all, selected, delta});
  }
  executor.run(ops::ProposalBoxes{delta, selected, batch.pyramids, boxes});
  tap(executor, "queries.reference", boxes, query_segments);
}

}  // namespace itemcrop::model
