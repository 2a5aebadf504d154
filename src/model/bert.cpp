#include "model/bert.h"

#include <cmath>
#include <string>

namespace itemcrop::model {
namespace {

const std::string kPrefix = "model.text_backbone.";

}  // namespace

Bert::Bert(const WeightLoader& loader, LoadJobs& jobs)
    : config_(loader.config().text), layers_(static_cast<std::size_t>(config_.layers)) {
  jobs.emplace_back([this, loader] {
    const std::string name = kPrefix + "embeddings.";
    words_ = loader.constant(name + "word_embeddings.weight");
    positions_ = loader.constant(name + "position_embeddings.weight");
    types_ = loader.constant(name + "token_type_embeddings.weight");
    embedding_norm_ = loader.norm(name + "LayerNorm", config_.layer_norm_eps);
    projection_ = loader.linear("model.text_projection", Bias::kYes, kExact);
  });
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    jobs.emplace_back([this, loader, i] {
      Layer& layer = layers_[i];
      const std::string name = kPrefix + "encoder.layer." + std::to_string(i) + ".";
      const std::string self = name + "attention.self.";
      layer.qkv =
          loader.stacked({self + "query", self + "key", self + "value"}, Bias::kYes, kExact);
      layer.output = loader.linear(name + "attention.output.dense", Bias::kYes, kExact);
      layer.attention_norm =
          loader.norm(name + "attention.output.LayerNorm", config_.layer_norm_eps);
      layer.feed_forward = loader.feed_forward(name + "intermediate.dense", name + "output.dense",
                                               config_.activation, kExact);
      layer.output_norm = loader.norm(name + "output.LayerNorm", config_.layer_norm_eps);
    });
  }
}

void Bert::run(ops::Executor& executor, const TextInput& text, ops::Matrix y,
               const StageTap& tap) const {
  const ops::ArenaScope scope(executor);
  const std::int64_t width = config_.hidden;
  ops::Matrix x = executor.allocate(text.tokens(), width, DType::kF32);
  executor.run(ops::EmbedTokens{text.ids, text.positions, *words_, *positions_, *types_, x});
  executor.run(ops::LayerNorm{x, embedding_norm_, x});
  tap(executor, "text.embeddings", x, text.segments);

  ops::Matrix qkv = executor.allocate(text.tokens(), 3 * width, DType::kF32);
  ops::Matrix context = executor.allocate(text.tokens(), width, DType::kF32);
  const float scale = 1.0F / std::sqrt(static_cast<float>(width / config_.heads));
  for (const Layer& layer : layers_) {
    executor.run(ops::Linear{x, *layer.qkv, qkv});
    executor.run(ops::Attention{.query = qkv.column_range(0, width),
                                .key = qkv.column_range(width, width),
                                .value = qkv.column_range(2 * width, width),
                                .query_segments = text.segments,
                                .key_segments = text.segments,
                                .heads = config_.heads,
                                .scale = scale,
                                .blocks = text.blocks,
                                .y = context});
    executor.run(ops::Linear{
        context, *layer.output, x, {.residual = x, .norm_after = &layer.attention_norm}});
    executor.run(ops::FeedForward{x, layer.feed_forward, nullptr, &layer.output_norm, x});
  }
  tap(executor, "text.backbone", x, text.segments);
  executor.run(ops::Linear{x, *projection_, y});
  tap(executor, "text.projected", y, text.segments);
}

}  // namespace itemcrop::model
