#include "model/decoder.h"

#include <cmath>
#include <initializer_list>
#include <memory>
#include <string>

namespace itemcrop::model {
namespace {

constexpr int kPositionHeadLayers = 2;

/// The bias of the only class head that reaches a result: the last layer's.
std::string last_class_bias(const io::ModelConfig& config) {
  const int head = config.class_embed_share ? 0 : config.decoder_layers - 1;
  return "class_embed." + std::to_string(head) + ".bias";
}

/// Weights of rows [x, position]: of those given first for x + position, of the last for x alone.
/// (x + p) W^T = [x, p] [W, W]^T, so that no sum of the two goes through memory.
std::unique_ptr<const ops::LinearWeights> of_placed_rows(const WeightLoader& loader,
                                                         std::initializer_list<std::string> of_sum,
                                                         std::initializer_list<std::string> of_x) {
  HostWeight all;
  const auto append = [&](const std::string& name, bool placed) {
    const HostWeight one = loader.host_weight(name);
    all.inputs = 2 * one.inputs;
    all.outputs += one.outputs;
    all.bias.insert(all.bias.end(), one.bias.begin(), one.bias.end());
    for (std::int64_t r = 0; r < one.outputs; ++r) {
      const auto row = one.weight.begin() + r * one.inputs;
      all.weight.insert(all.weight.end(), row, row + one.inputs);
      if (placed) {
        all.weight.insert(all.weight.end(), row, row + one.inputs);
      } else {
        all.weight.resize(all.weight.size() + static_cast<std::size_t>(one.inputs));
      }
    }
  };
  for (const std::string& name : of_sum) append(name, true);
  for (const std::string& name : of_x) append(name, false);
  return loader.prepare(all);
}

}  // namespace

Decoder::Decoder(const WeightLoader& loader, LoadJobs& jobs)
    : heads_(loader.config().decoder_heads),
      points_(loader.config().decoder_points),
      width_(loader.config().d_model),
      layers_(static_cast<std::size_t>(loader.config().decoder_layers)),
      box_heads_(loader.config().decoder_bbox_embed_share ? 1 : layers_.size()),
      class_head_(load_class_head(loader, last_class_bias(loader.config()))) {
  jobs.emplace_back([this, loader] {
    queries_ = loader.constant("model.query_position_embeddings.weight");
    position_head_ = std::make_unique<PredictionHead>(loader, "model.decoder.reference_points_head",
                                                      kPositionHeadLayers);
    norm_ = loader.norm("model.decoder.layer_norm", loader.config().layer_norm_eps);
    for (std::size_t i = 0; i < box_heads_.size(); ++i) {
      box_heads_[i] = std::make_unique<PredictionHead>(loader, "bbox_embed." + std::to_string(i),
                                                       kBoxHeadLayers);
    }
  });
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    jobs.emplace_back([this, loader, i] {
      Layer& layer = layers_[i];
      const std::string name = "model.decoder.layers." + std::to_string(i) + ".";
      const float epsilon = loader.config().layer_norm_eps;
      const std::string self = name + "self_attn.";
      const std::string text = name + "encoder_attn_text.";
      layer.self_query_key_value =
          of_placed_rows(loader, {self + "query", self + "key"}, {self + "value"});
      layer.self_output = loader.linear(self + "out_proj");
      layer.self_norm = loader.norm(name + "self_attn_layer_norm", epsilon);
      layer.text_query = of_placed_rows(loader, {text + "query"}, {});
      layer.text_key_value = loader.stacked({text + "key", text + "value"});
      layer.text_output = loader.linear(text + "out_proj");
      layer.text_norm = loader.norm(name + "encoder_attn_text_layer_norm", epsilon);
      layer.image_value = loader.linear(name + "encoder_attn.value_proj");
      layer.image =
          load_deformable(loader, name + "encoder_attn.", name + "encoder_attn_layer_norm");
      layer.feed_forward =
          loader.feed_forward(name + "fc1", name + "fc2", loader.config().activation);
      layer.output_norm = loader.norm(name + "final_layer_norm", epsilon);
    });
  }
}

void Decoder::run_layer(ops::Executor& executor, const Layer& layer, const SampleBatch& batch,
                        std::span<const ops::Segment> query_segments, ops::Matrix placed,
                        ops::Matrix boxes) const {
  // Does not wait for the queries, which are too few to fill a device.
  const ops::BranchScope side(executor, ops::Branch::kSide);
  const ops::ArenaScope side_scope(executor);
  const std::int64_t width = width_;
  const ops::Matrix x = placed.column_range(0, width);
  const ops::Matrix positions = placed.column_range(width, width);
  ops::Matrix image_value = executor.allocate(batch.vision.rows, width);
  ops::Matrix key_value = executor.allocate(batch.text.rows, 2 * width);
  executor.run(ops::Linear{batch.vision, *layer.image_value, image_value});
  executor.run(ops::Linear{batch.text, *layer.text_key_value, key_value});

  const ops::BranchScope main(executor, ops::Branch::kMain);
  const ops::ArenaScope scope(executor);
  const float scale = 1.0F / std::sqrt(static_cast<float>(width / heads_));
  ops::Matrix context = executor.allocate(x.rows, width);

  {
    const ops::ArenaScope self_scope(executor);
    ops::Matrix query_key_value = executor.allocate(x.rows, 3 * width);
    executor.run(ops::Linear{placed, *layer.self_query_key_value, query_key_value});
    executor.run(ops::Attention{.query = query_key_value.column_range(0, width),
                                .key = query_key_value.column_range(width, width),
                                .value = query_key_value.column_range(2 * width, width),
                                .query_segments = query_segments,
                                .key_segments = query_segments,
                                .heads = heads_,
                                .scale = scale,
                                .y = context});
    executor.run(ops::Linear{
        context, *layer.self_output, x, {.residual = x, .norm_after = &layer.self_norm}});
  }
  {
    const ops::ArenaScope text_scope(executor);
    ops::Matrix query = executor.allocate(x.rows, width);
    executor.run(ops::Linear{placed, *layer.text_query, query});
    executor.join();
    executor.run(ops::Attention{.query = query,
                                .key = key_value.column_range(0, width),
                                .value = key_value.column_range(width, width),
                                .query_segments = query_segments,
                                .key_segments = batch.text_input->segments,
                                .heads = heads_,
                                .scale = scale,
                                .y = context});
    executor.run(ops::Linear{
        context, *layer.text_output, x, {.residual = x, .norm_after = &layer.text_norm}});
  }
  {
    const ops::ArenaScope image_scope(executor);
    executor.run(ops::DeformableAttention{.query = x,
                                          .position = positions,
                                          .query_segments = query_segments,
                                          .reference = boxes,
                                          .value = image_value,
                                          .pyramids = batch.pyramids,
                                          .heads = heads_,
                                          .points = points_,
                                          .weights = &layer.image,
                                          .output = x});
  }
  executor.run(ops::FeedForward{x, layer.feed_forward, nullptr, &layer.output_norm, x});
}

void Decoder::run(ops::Executor& executor, const SampleBatch& batch,
                  std::span<const ops::Segment> query_segments, ops::Matrix boxes,
                  ops::Matrix logits, const StageTap& tap) const {
  const ops::ArenaScope scope(executor);
  ops::Matrix placed = executor.allocate(boxes.rows, std::int64_t{2} * width_);
  ops::Matrix x = placed.column_range(0, width_);
  ops::Matrix positions = placed.column_range(width_, width_);
  for (const ops::Segment& queries : query_segments) {
    executor.run(ops::Assign{*queries_, x.row_range(queries.begin, queries.rows)});
  }
  ops::Matrix normed = executor.allocate(boxes.rows, width_, DType::kF32);
  ops::Matrix delta = executor.allocate(boxes.rows, 4, DType::kF32);

  for (std::size_t i = 0; i < layers_.size(); ++i) {
    {
      const ops::ArenaScope position_scope(executor);
      ops::Matrix sine =
          executor.allocate(boxes.rows, std::int64_t{2} * width_, position_head_->input_dtype());
      executor.run(ops::BoxPositions{boxes, width_ / 2, sine});
      position_head_->run(executor, sine, positions);
    }
    run_layer(executor, layers_[i], batch, query_segments, placed, boxes);
    // Boxes are refined from the layer's plain output, except the last, whose prediction is read
    // from the normalised output as the class logits are.
    const bool last = i + 1 == layers_.size();
    if (last || tap) {
      executor.run(ops::LayerNorm{x, norm_, normed});
      tap(executor, "decoder.layer" + std::to_string(i) + ".hidden", normed, query_segments);
    }
    box_head(i).run(executor, last ? normed : x, delta);
    executor.run(ops::RefineBoxes{delta, boxes, boxes});
    if (!last) {
      tap(executor, "decoder.layer" + std::to_string(i) + ".reference", boxes, query_segments);
    }
  }
  executor.run(ops::Similarity{{.x = normed,
                                .segments = query_segments,
                                .text = batch.text,
                                .text_segments = batch.text_input->segments,
                                .scale = class_head_.scale,
                                .bias = class_head_.bias},
                               logits});
}

}  // namespace itemcrop::model
