#pragma once

#include <array>
#include <filesystem>
#include <string_view>
#include <vector>

#include "core/activation.h"
#include "io/text_rules.h"

namespace itemcrop::io {

enum class ModelKind {
  kGroundingDino,    ///< "grounding-dino"
  kMmGroundingDino,  ///< "mm-grounding-dino": MM-Grounding-DINO and LLMDet
};

std::string_view to_string(ModelKind kind) noexcept;  ///< as config.json says it

/// Swin backbone. Defaults are those of transformers' SwinConfig.
struct SwinConfig {
  int patch_size = 4;  ///< pixels a side
  int channels = 3;
  int embed_dim = 96;  ///< width of stage 1; doubles each stage
  std::vector<int> depths{2, 2, 6, 2};
  std::vector<int> heads{3, 6, 12, 24};
  int window = 7;  ///< patches a side
  double mlp_ratio = 4.0;
  bool qkv_bias = true;
  std::vector<int> out_stages{2, 3, 4};  ///< 1-based: "stage2" is 2; ascending
  float layer_norm_eps = 1e-5F;
  Activation activation = Activation::kGelu;

  int stages() const noexcept { return static_cast<int>(depths.size()); }
  /// Channels of a 1-based stage's output (before the next downsampling).
  int stage_width(int stage1) const { return embed_dim << (stage1 - 1); }
};

/// BERT text backbone. Defaults are those of transformers' BertConfig.
struct TextConfig {
  int vocab_size = 30522;
  int hidden = 768;
  int layers = 12;
  int heads = 12;
  int intermediate = 3072;
  int max_positions = 512;
  int type_vocab = 2;
  float layer_norm_eps = 1e-12F;
  Activation activation = Activation::kGelu;
  int pad_token = 0;
};

/// preprocessor_config.json. Defaults are those of transformers' GroundingDinoImageProcessor.
struct PreprocessConfig {
  int shortest_edge = 800;  ///< pixels
  int longest_edge = 1333;  ///< pixels; wins over shortest_edge
  bool resize = true;
  bool rescale = true;
  bool normalize = true;
  float rescale_factor = 1.0F / 255.0F;
  std::array<float, 3> mean{0.485F, 0.456F, 0.406F};  ///< per RGB channel, after rescaling
  std::array<float, 3> std{0.229F, 0.224F, 0.225F};
};

/// A checkpoint's shape. Defaults are those of transformers' GroundingDinoConfig.
struct ModelConfig {
  ModelKind kind = ModelKind::kGroundingDino;
  SwinConfig swin;
  TextConfig text;
  PreprocessConfig preprocess;
  int d_model = 256;
  int encoder_layers = 6;
  int decoder_layers = 6;
  int encoder_heads = 8;
  int decoder_heads = 8;
  int encoder_ffn = 2048;
  int decoder_ffn = 2048;
  int encoder_points = 4;
  int decoder_points = 4;
  int levels = 4;  ///< num_feature_levels; at least the number of backbone outputs
  int queries = 900;
  int max_text_tokens = 256;
  int query_dim = 4;
  float layer_norm_eps = 1e-5F;
  double positional_temperature = 20.0;
  Activation activation = Activation::kRelu;
  /// Class logits are x.t / sqrt(d_model) plus a bias of each class head; otherwise x.t.
  bool biased_logits = false;
  bool decoder_bbox_embed_share = true;  ///< one box head for all decoder layers
  bool two_stage_bbox_embed_share = false;
  bool class_embed_share = false;  ///< with biased_logits: one bias for all decoder layers
  bool embedding_init_target = true;
  bool two_stage = true;
  /// kTransformers5 if config.json says transformers_version 5 or later; kPublished otherwise.
  TextRules text_rules = TextRules::kPublished;
};

/// Reads config.json and preprocessor_config.json of a published folder. Absent and null fields
/// take transformers' defaults; unknown fields are ignored. Throws Error: kNotFound (file),
/// kCorruptModel (a field of the wrong type or out of range: field, limit and value),
/// kUnsupportedModel (a field whose value this engine does not run). Source:
/// configuration_{grounding_dino,swin,bert}.py of transformers 5.17.
ModelConfig load_model_config(const std::filesystem::path& folder);

/// The same from the files' text; an empty `preprocessor_json` means the defaults.
ModelConfig parse_model_config(std::string_view config_json, std::string_view preprocessor_json);

}  // namespace itemcrop::io
