#include "model/encoder.h"

#include <cmath>
#include <map>
#include <numbers>
#include <string>

#include "ops/geometry.h"

namespace itemcrop::model {
namespace {

std::string layer_name(int layer, const char* part) {
  return "model.encoder.layers." + std::to_string(layer) + "." + part + ".";
}

/// Sine embedding of position ids, [tokens, width]: encode_sinusoidal_position_embedding with its
/// default temperature.
std::vector<float> text_positions(std::span<const std::int32_t> ids, int width,
                                  io::TextRules rules) {
  constexpr double kTemperature = 10000.0;
  std::vector<float> divisors;
  for (int k = 0; k < width; ++k) {
    const double exponent = 2.0 * std::floor(k / 2.0) / width;
    // Divided in fp32, as the reference does: the angle's rounding shows in the result.
    divisors.push_back(static_cast<float>(std::pow(kTemperature, exponent)));
  }
  // Ids restart with every item, so there are few of them.
  std::map<std::int32_t, std::vector<float>> rows;
  std::vector<float> result;
  result.reserve(ids.size() * static_cast<std::size_t>(width));
  for (const std::int32_t id : ids) {
    std::vector<float>& row = rows[id];
    for (int k = static_cast<int>(row.size()); k < width; ++k) {
      const float angle = static_cast<float>(id) * static_cast<float>(2.0 * std::numbers::pi);
      const float phase = angle / divisors[static_cast<std::size_t>(k)];
      const float value = k % 2 == 0 ? std::sin(phase) : std::cos(phase);
      row.push_back(rules == io::TextRules::kTransformers5 ? std::trunc(value) : value);
    }
    result.insert(result.end(), row.begin(), row.end());
  }
  return result;
}

}  // namespace

ops::DeformableWeights load_deformable(const WeightLoader& loader, const std::string& name,
                                       const std::string& norm) {
  return {.sampling = loader.stacked({name + "sampling_offsets", name + "attention_weights"}),
          .output = loader.linear(name + "output_proj"),
          .norm = loader.norm(norm, loader.config().layer_norm_eps)};
}

TextEnhancer::TextEnhancer(const WeightLoader& loader, int layer, LoadJobs& jobs)
    : heads_(loader.config().encoder_heads / 2) {
  jobs.emplace_back([this, loader, name = layer_name(layer, "text_enhancer_layer")] {
    const float epsilon = loader.config().layer_norm_eps;
    const std::string self = name + "self_attn.";
    query_key_ = loader.stacked({self + "query", self + "key"}, Bias::kYes, kExact);
    value_ = loader.linear(self + "value", Bias::kYes, kExact);
    output_ = loader.linear(self + "out_proj", Bias::kYes, kExact);
    attention_norm_ = loader.norm(name + "layer_norm_before", epsilon);
    feed_forward_ =
        loader.feed_forward(name + "fc1", name + "fc2", loader.config().activation, kExact);
    output_norm_ = loader.norm(name + "layer_norm_after", epsilon);
  });
}

void TextEnhancer::run(ops::Executor& executor, ops::Matrix text, ops::Matrix positions,
                       const TextInput& input) const {
  const ops::ArenaScope scope(executor);
  const std::int64_t width = text.cols;
  ops::Matrix x = executor.allocate(text.rows, width, DType::kF32);
  ops::Matrix query_key = executor.allocate(text.rows, 2 * width, DType::kF32);
  ops::Matrix value = executor.allocate(text.rows, width, DType::kF32);
  executor.run(ops::Add{text, positions, x});
  executor.run(ops::Linear{x, *query_key_, query_key});
  executor.run(ops::Linear{text, *value_, value});
  executor.run(ops::Attention{.query = query_key.column_range(0, width),
                              .key = query_key.column_range(width, width),
                              .value = value,
                              .query_segments = input.segments,
                              .key_segments = input.segments,
                              .heads = heads_,
                              .scale = 1.0F / std::sqrt(static_cast<float>(width / heads_)),
                              .blocks = input.blocks,
                              .y = x});
  executor.run(ops::Linear{x, *output_, text, {.residual = text, .norm_after = &attention_norm_}});
  executor.run(ops::FeedForward{text, feed_forward_, nullptr, &output_norm_, text});
}

DeformableLayer::DeformableLayer(const WeightLoader& loader, int layer, LoadJobs& jobs)
    : heads_(loader.config().encoder_heads), points_(loader.config().encoder_points) {
  jobs.emplace_back([this, loader, name = layer_name(layer, "deformable_layer")] {
    value_ = loader.linear(name + "self_attn.value_proj");
    attention_ = load_deformable(loader, name + "self_attn.", name + "self_attn_layer_norm");
    feed_forward_ = loader.feed_forward(name + "fc1", name + "fc2", loader.config().activation);
    output_norm_ = loader.norm(name + "final_layer_norm", loader.config().layer_norm_eps);
  });
}

void DeformableLayer::run(ops::Executor& executor, ops::Matrix vision, ops::Matrix positions,
                          std::span<const ops::Pyramid> pyramids,
                          std::span<const ops::Segment> vision_segments) const {
  const ops::ArenaScope scope(executor);
  ops::Matrix value = executor.allocate(vision.rows, vision.cols);
  executor.run(ops::Linear{vision, *value_, value});
  executor.run(ops::DeformableAttention{.query = vision,
                                        .position = positions,
                                        .query_segments = vision_segments,
                                        .reference = {},
                                        .value = value,
                                        .pyramids = pyramids,
                                        .heads = heads_,
                                        .points = points_,
                                        .weights = &attention_,
                                        .output = vision});
  executor.run(ops::FeedForward{vision, feed_forward_, nullptr, &output_norm_, vision});
}

Encoder::Encoder(const WeightLoader& loader, LoadJobs& jobs)
    : temperature_(static_cast<float>(loader.config().positional_temperature)),
      text_rules_(loader.config().text_rules) {
  jobs.emplace_back([this, loader] { level_embedding_ = loader.constant("model.level_embed"); });
  for (int i = 0; i < loader.config().encoder_layers; ++i) {
    layers_.push_back(std::make_unique<Layer>(loader, i, jobs));
  }
}

void Encoder::run(ops::Executor& executor, const SampleBatch& batch, const ModelSwitches& switches,
                  const StageTap& tap) const {
  const ops::ArenaScope scope(executor);
  const TextInput& input = *batch.text_input;
  ops::Matrix vision_positions =
      executor.allocate(ops::axis_rows(batch.pyramids), batch.vision.cols);
  executor.run(
      ops::AxisPositions{batch.pyramids, *level_embedding_, temperature_, vision_positions});
  ops::Matrix positions = executor.allocate(batch.text.rows, batch.text.cols, DType::kF32);
  executor.upload(
      text_positions(input.positions, static_cast<int>(batch.text.cols), text_rules_).data(),
      positions);

  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = *layers_[i];
    const std::string name = "encoder.layer" + std::to_string(i);
    layer.fusion.run(executor, batch.vision, batch.vision_segments, batch.text, input.segments,
                     switches.folded_fusion);
    tap(executor, name + ".fusion.vision", batch.vision, batch.vision_segments);
    tap(executor, name + ".fusion.text", batch.text, input.segments);
    {
      // A few rows of text cost little but time: beside the image's layer they cost none.
      const ops::BranchScope side(executor, ops::Branch::kSide);
      layer.text.run(executor, batch.text, positions, input);
    }
    tap(executor, name + ".text", batch.text, input.segments);
    layer.vision.run(executor, batch.vision, vision_positions, batch.pyramids,
                     batch.vision_segments);
    tap(executor, name + ".vision", batch.vision, batch.vision_segments);
  }
  executor.join();
}

}  // namespace itemcrop::model
