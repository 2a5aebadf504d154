#include "io/weight_table.h"

#include <utility>

namespace itemcrop::io {
namespace {

using Shape = std::vector<std::int64_t>;

constexpr int kBoxCoordinates = 4;
constexpr int kPredictionLayers = 3;  // linear layers of a box head

/// Collects weights under a dotted prefix, one method for each kind of module.
class Table {
 public:
  std::vector<WeightSpec> take() { return std::move(weights_); }

  void tensor(std::string name, Shape shape, std::vector<std::string> aliases = {}) {
    weights_.push_back({std::move(name), std::move(shape), std::move(aliases)});
  }

  void linear(const std::string& name, std::int64_t in, std::int64_t out, bool bias = true) {
    tensor(name + ".weight", {out, in});
    if (bias) {
      tensor(name + ".bias", {out});
    }
  }

  /// Layer norm and group norm.
  void norm(const std::string& name, std::int64_t width) {
    tensor(name + ".weight", {width});
    tensor(name + ".bias", {width});
  }

  void convolution(const std::string& name, std::int64_t in, std::int64_t out, std::int64_t side) {
    tensor(name + ".weight", {out, in, side, side});
    tensor(name + ".bias", {out});
  }

  /// A perceptron of `layers` linear layers: in, width, ..., width, out.
  void perceptron(const std::string& name, std::int64_t in, std::int64_t width, std::int64_t out,
                  int layers, const std::vector<std::string>& aliases = {}) {
    for (int i = 0; i < layers; ++i) {
      const std::string layer = ".layers." + std::to_string(i);
      const std::int64_t from = i == 0 ? in : width;
      const std::int64_t to = i + 1 == layers ? out : width;
      for (const auto& [part, shape] :
           {std::pair{".weight", Shape{to, from}}, std::pair{".bias", Shape{to}}}) {
        std::vector<std::string> names;
        for (const std::string& alias : aliases) {
          names.push_back(alias + layer + part);
        }
        tensor(name + layer + part, shape, std::move(names));
      }
    }
  }

 private:
  std::vector<WeightSpec> weights_;
};

std::string indexed(const std::string& name, int index) {
  return name + "." + std::to_string(index);
}

void add_swin_block(Table& table, const std::string& name, const SwinConfig& swin, int width,
                    int heads) {
  const std::int64_t span = 2 * swin.window - 1;
  const auto hidden = static_cast<std::int64_t>(swin.mlp_ratio * width);
  table.norm(name + ".layernorm_before", width);
  table.tensor(name + ".attention.self.relative_position_bias_table", {span * span, heads});
  for (const char* part : {"query", "key", "value"}) {
    table.linear(name + ".attention.self." + part, width, width, swin.qkv_bias);
  }
  table.linear(name + ".attention.output.dense", width, width);
  table.norm(name + ".layernorm_after", width);
  table.linear(name + ".intermediate.dense", width, hidden);
  table.linear(name + ".output.dense", hidden, width);
}

void add_swin(Table& table, const SwinConfig& swin) {
  const std::string root = "model.backbone.conv_encoder.model.";
  table.convolution(root + "embeddings.patch_embeddings.projection", swin.channels, swin.embed_dim,
                    swin.patch_size);
  table.norm(root + "embeddings.norm", swin.embed_dim);
  for (int stage = 1; stage <= swin.stages(); ++stage) {
    const auto index = static_cast<std::size_t>(stage) - 1;
    const std::string layer = indexed(root + "encoder.layers", stage - 1);
    const int width = swin.stage_width(stage);
    for (int block = 0; block < swin.depths[index]; ++block) {
      add_swin_block(table, indexed(layer + ".blocks", block), swin, width, swin.heads[index]);
    }
    if (stage < swin.stages()) {
      table.norm(layer + ".downsample.norm", 4 * width);
      table.linear(layer + ".downsample.reduction", 4 * width, 2 * width, false);
    }
  }
  for (const int stage : swin.out_stages) {
    table.norm(root + "hidden_states_norms.stage" + std::to_string(stage), swin.stage_width(stage));
  }
}

void add_text_backbone(Table& table, const TextConfig& text) {
  const std::string root = "model.text_backbone.";
  table.tensor(root + "embeddings.word_embeddings.weight", {text.vocab_size, text.hidden});
  table.tensor(root + "embeddings.position_embeddings.weight", {text.max_positions, text.hidden});
  table.tensor(root + "embeddings.token_type_embeddings.weight", {text.type_vocab, text.hidden});
  table.norm(root + "embeddings.LayerNorm", text.hidden);
  for (int i = 0; i < text.layers; ++i) {
    const std::string layer = indexed(root + "encoder.layer", i);
    for (const char* part : {"query", "key", "value"}) {
      table.linear(layer + ".attention.self." + part, text.hidden, text.hidden);
    }
    table.linear(layer + ".attention.output.dense", text.hidden, text.hidden);
    table.norm(layer + ".attention.output.LayerNorm", text.hidden);
    table.linear(layer + ".intermediate.dense", text.hidden, text.intermediate);
    table.linear(layer + ".output.dense", text.intermediate, text.hidden);
    table.norm(layer + ".output.LayerNorm", text.hidden);
  }
}

/// The levels beyond the backbone's outputs are 3x3 convolutions: the first of the last output,
/// each later one of the level before it.
void add_input_projections(Table& table, const ModelConfig& config) {
  const std::vector<int>& stages = config.swin.out_stages;
  for (int level = 0; level < config.levels; ++level) {
    const std::string name = indexed("model.input_proj_vision", level);
    const auto outputs = static_cast<int>(stages.size());
    const bool of_backbone = level <= outputs;
    const int stage = stages[static_cast<std::size_t>(level < outputs ? level : outputs - 1)];
    const int in = of_backbone ? config.swin.stage_width(stage) : config.d_model;
    table.convolution(name + ".0", in, config.d_model, level < outputs ? 1 : 3);
    table.norm(name + ".1", config.d_model);
  }
}

void add_attention(Table& table, const std::string& name, int width) {
  for (const char* part : {"query", "key", "value", "out_proj"}) {
    table.linear(name + "." + part, width, width);
  }
}

void add_deformable_attention(Table& table, const std::string& name, const ModelConfig& config,
                              int heads, int points) {
  const std::int64_t samples = std::int64_t{heads} * config.levels * points;
  table.linear(name + ".sampling_offsets", config.d_model, 2 * samples);
  table.linear(name + ".attention_weights", config.d_model, samples);
  table.linear(name + ".value_proj", config.d_model, config.d_model);
  table.linear(name + ".output_proj", config.d_model, config.d_model);
}

void add_encoder_layer(Table& table, const std::string& name, const ModelConfig& config) {
  const int width = config.d_model;
  const int half_ffn = config.encoder_ffn / 2;  // of the text enhancer and of the fusion

  const std::string text = name + ".text_enhancer_layer";
  add_attention(table, text + ".self_attn", width);
  table.linear(text + ".fc1", width, half_ffn);
  table.linear(text + ".fc2", half_ffn, width);
  table.norm(text + ".layer_norm_before", width);
  table.norm(text + ".layer_norm_after", width);

  const std::string fusion = name + ".fusion_layer";
  table.tensor(fusion + ".vision_param", {width});
  table.tensor(fusion + ".text_param", {width});
  table.norm(fusion + ".layer_norm_vision", width);
  table.norm(fusion + ".layer_norm_text", width);
  for (const char* part : {"vision_proj", "text_proj", "values_vision_proj", "values_text_proj"}) {
    table.linear(fusion + ".attn." + part, width, half_ffn);
  }
  table.linear(fusion + ".attn.out_vision_proj", half_ffn, width);
  table.linear(fusion + ".attn.out_text_proj", half_ffn, width);

  const std::string deformable = name + ".deformable_layer";
  add_deformable_attention(table, deformable + ".self_attn", config, config.encoder_heads,
                           config.encoder_points);
  table.norm(deformable + ".self_attn_layer_norm", width);
  table.linear(deformable + ".fc1", width, config.encoder_ffn);
  table.linear(deformable + ".fc2", config.encoder_ffn, width);
  table.norm(deformable + ".final_layer_norm", width);
}

void add_decoder_layer(Table& table, const std::string& name, const ModelConfig& config) {
  const int width = config.d_model;
  add_attention(table, name + ".self_attn", width);
  table.norm(name + ".self_attn_layer_norm", width);
  add_attention(table, name + ".encoder_attn_text", width);
  table.norm(name + ".encoder_attn_text_layer_norm", width);
  add_deformable_attention(table, name + ".encoder_attn", config, config.decoder_heads,
                           config.decoder_points);
  table.norm(name + ".encoder_attn_layer_norm", width);
  table.linear(name + ".fc1", width, config.decoder_ffn);
  table.linear(name + ".fc2", config.decoder_ffn, width);
  table.norm(name + ".final_layer_norm", width);
}

/// Other names of the head `name`.`layer`: each is also known under model.decoder, and when all
/// layers share the first, under the names of the others.
std::vector<std::string> head_aliases(const std::string& name, int layer, bool share, int layers) {
  std::vector<std::string> aliases{indexed("model.decoder." + name, layer)};
  for (int other = 1; share && other < layers; ++other) {
    aliases.push_back(indexed(name, other));
    aliases.push_back(indexed("model.decoder." + name, other));
  }
  return aliases;
}

void add_box_heads(Table& table, const ModelConfig& config) {
  const bool share = config.decoder_bbox_embed_share;
  for (int i = 0; i < (share ? 1 : config.decoder_layers); ++i) {
    table.perceptron(indexed("bbox_embed", i), config.d_model, config.d_model, kBoxCoordinates,
                     kPredictionLayers,
                     head_aliases("bbox_embed", i, share, config.decoder_layers));
  }
}

/// A class head has no weights but its bias, if it has one.
void add_class_heads(Table& table, const ModelConfig& config) {
  if (!config.biased_logits) {
    return;
  }
  const bool share = config.class_embed_share;
  for (int i = 0; i < (share ? 1 : config.decoder_layers); ++i) {
    std::vector<std::string> aliases = head_aliases("class_embed", i, share, config.decoder_layers);
    for (std::string& alias : aliases) {
      alias += ".bias";
    }
    table.tensor(indexed("class_embed", i) + ".bias", {}, std::move(aliases));
  }
  table.tensor("model.encoder_output_class_embed.bias", {});
}

}  // namespace

std::vector<WeightSpec> weight_table(const ModelConfig& config) {
  Table table;
  const int width = config.d_model;
  add_swin(table, config.swin);
  add_text_backbone(table, config.text);
  table.linear("model.text_projection", config.text.hidden, width);
  add_input_projections(table, config);
  table.tensor("model.level_embed", {config.levels, width});
  for (int i = 0; i < config.encoder_layers; ++i) {
    add_encoder_layer(table, indexed("model.encoder.layers", i), config);
  }
  table.linear("model.enc_output", width, width);
  table.norm("model.enc_output_norm", width);
  table.perceptron("model.encoder_output_bbox_embed", width, width, kBoxCoordinates,
                   kPredictionLayers);
  table.tensor("model.query_position_embeddings.weight", {config.queries, width});
  for (int i = 0; i < config.decoder_layers; ++i) {
    add_decoder_layer(table, indexed("model.decoder.layers", i), config);
  }
  table.norm("model.decoder.layer_norm", width);
  // Each of two coordinates has a sine embedding of d_model: query_dim / 2 * d_model in all.
  table.perceptron("model.decoder.reference_points_head", config.query_dim / 2 * width, width,
                   width, 2);
  add_box_heads(table, config);
  add_class_heads(table, config);
  return table.take();
}

}  // namespace itemcrop::io
