#include "io/model_config.h"

#include <cstdlib>
#include <string>

#include "itemcrop/error.h"

#include "io/config_fields.h"
#include "io/file.h"
#include "io/json.h"

namespace itemcrop::io {
namespace {

constexpr std::size_t kMaxConfigBytes = 16 << 20;
constexpr std::string_view kConfigFile = "config.json";
constexpr std::string_view kPreprocessorFile = "preprocessor_config.json";

// Far above every published model, and low enough that products of a few of them fit 64 bits.
constexpr int kMaxWidth = 65'536;
constexpr int kMaxFfn = 262'144;
constexpr int kMaxLayers = 256;
constexpr int kMaxHeads = 256;
constexpr int kMaxEdge = 16'384;
constexpr int kGroupNormGroups = 32;  // of the input projections, fixed in the reference

Activation activation(const ConfigFields& fields, const char* name, const std::string& fallback) {
  const std::string word = fields.word(name, fallback);
  fields.require(word == "gelu" || word == "relu", name, "\"gelu\" or \"relu\"");
  return word == "gelu" ? Activation::kGelu : Activation::kRelu;
}

float epsilon(const ConfigFields& fields, double fallback) {
  return static_cast<float>(fields.number("layer_norm_eps", fallback, 1e-20, 1.0));
}

void require_multiple(const ConfigFields& fields, const char* name, int value, int divisor,
                      const std::string& of) {
  if (value % divisor != 0) {
    fields.reject(name, "a multiple of " + of + " (" + std::to_string(divisor) + ")");
  }
}

/// out_features ("stage2") and out_indices (2, or negative from the end): either, or both agreeing.
std::vector<int> out_stages(const ConfigFields& fields, int stages) {
  const std::vector<int> indices = fields.integers("out_indices", {}, 1, -stages - 1, stages);
  std::vector<int> from_indices;
  for (const int index : indices) {
    from_indices.push_back(index < 0 ? index + stages + 1 : index);
  }
  std::vector<int> from_features;
  if (fields.has("out_features")) {
    const nlohmann::json& names = fields.raw("out_features");
    for (const nlohmann::json& name : names) {
      for (int stage = 0; stage <= stages; ++stage) {
        const std::string known = stage == 0 ? "stem" : "stage" + std::to_string(stage);
        if (name.is_string() && name.get_ref<const std::string&>() == known) {
          from_features.push_back(stage);
        }
      }
    }
    if (!names.is_array() || names.empty() || from_features.size() != names.size()) {
      fields.reject("out_features",
                    "a list of \"stage1\" to \"stage" + std::to_string(stages) + "\"");
    }
    if (!indices.empty() && from_indices != from_features) {
      fields.reject("out_indices", "the same stages as out_features");
    }
  }
  const char* source = from_features.empty() ? "out_indices" : "out_features";
  std::vector<int> result = from_features.empty() ? from_indices : from_features;
  if (result.empty()) {
    return {stages};  // transformers' default of a backbone config: the last stage
  }
  for (std::size_t i = 1; i < result.size(); ++i) {
    if (result[i] <= result[i - 1]) {
      fields.reject(source, "in ascending order without repeats");
    }
  }
  fields.require(result.front() >= 1, source, "stages after the stem");
  return result;
}

SwinConfig parse_swin(const ConfigFields& fields) {
  SwinConfig swin;
  fields.require(fields.word("model_type", "swin") == "swin", "model_type", "\"swin\"");
  fields.require(!fields.boolean("use_absolute_embeddings", false), "use_absolute_embeddings",
                 "false");
  swin.patch_size = fields.integer("patch_size", swin.patch_size, 1, 64);
  swin.channels = fields.integer("num_channels", swin.channels, 1, 16);
  fields.require(swin.channels == 3, "num_channels", "3");
  swin.embed_dim = fields.integer("embed_dim", swin.embed_dim, 1, 8'192);
  swin.depths = fields.integers("depths", swin.depths, 1, 1, kMaxLayers);
  if (swin.depths.size() > 8) {
    fields.reject("depths", "a list of at most 8 stages");
  }
  swin.heads = fields.integers("num_heads", swin.heads, 1, 1, kMaxHeads);
  if (swin.heads.size() != swin.depths.size()) {
    fields.reject("num_heads", "as long as depths (" + std::to_string(swin.depths.size()) + ")");
  }
  for (int stage = 1; stage <= swin.stages(); ++stage) {
    if (swin.stage_width(stage) % swin.heads[static_cast<std::size_t>(stage) - 1] != 0) {
      fields.reject("num_heads", "divisors of the stages' widths (stage " + std::to_string(stage) +
                                     ": " + std::to_string(swin.stage_width(stage)) + ")");
    }
  }
  swin.window = fields.integer("window_size", swin.window, 1, 128);
  swin.mlp_ratio = fields.number("mlp_ratio", swin.mlp_ratio, 1.0 / 64, 64);
  if (static_cast<int>(swin.mlp_ratio * swin.embed_dim) < 1) {
    fields.reject("mlp_ratio", "large enough for one hidden unit");
  }
  swin.qkv_bias = fields.boolean("qkv_bias", swin.qkv_bias);
  swin.out_stages = out_stages(fields, swin.stages());
  swin.layer_norm_eps = epsilon(fields, 1e-5);
  swin.activation = activation(fields, "hidden_act", "gelu");
  return swin;
}

TextConfig parse_text(const ConfigFields& fields) {
  TextConfig text;
  fields.require(fields.word("model_type", "bert") == "bert", "model_type", "\"bert\"");
  fields.require(fields.word("position_embedding_type", "absolute") == "absolute",
                 "position_embedding_type", "\"absolute\"");
  fields.require(!fields.boolean("is_decoder", false), "is_decoder", "false");
  text.vocab_size = fields.integer("vocab_size", text.vocab_size, 1, 1 << 22);
  text.hidden = fields.integer("hidden_size", text.hidden, 1, kMaxWidth);
  text.layers = fields.integer("num_hidden_layers", text.layers, 1, kMaxLayers);
  text.heads = fields.integer("num_attention_heads", text.heads, 1, kMaxHeads);
  require_multiple(fields, "hidden_size", text.hidden, text.heads, "num_attention_heads");
  text.intermediate = fields.integer("intermediate_size", text.intermediate, 1, kMaxFfn);
  text.max_positions = fields.integer("max_position_embeddings", text.max_positions, 1, kMaxWidth);
  text.type_vocab = fields.integer("type_vocab_size", text.type_vocab, 1, kMaxWidth);
  text.layer_norm_eps = epsilon(fields, 1e-12);
  text.activation = activation(fields, "hidden_act", "gelu");
  text.pad_token = fields.integer("pad_token_id", text.pad_token, 0, text.vocab_size - 1);
  return text;
}

std::array<float, 3> channels(const ConfigFields& fields, const char* name,
                              std::array<float, 3> fallback, double minimum) {
  if (!fields.has(name)) {
    return fallback;
  }
  const nlohmann::json& list = fields.raw(name);
  const bool three_numbers = list.is_array() && list.size() == 3 && list[0].is_number() &&
                             list[1].is_number() && list[2].is_number();
  for (std::size_t i = 0; three_numbers && i < 3; ++i) {
    const double value = list[i].get<double>();
    if (!(value >= minimum && value <= 1e6)) {
      fields.reject(name, "numbers from " + std::to_string(minimum) + " to 1e6");
    }
    fallback[i] = static_cast<float>(value);
  }
  if (!three_numbers) {
    fields.reject(name, "a list of three numbers");
  }
  return fallback;
}

/// `size` is {"shortest_edge", "longest_edge"}, or (older files) a number beside `max_size`.
void parse_size(const ConfigFields& fields, PreprocessConfig& preprocess) {
  if (fields.raw("size").is_number()) {
    preprocess.shortest_edge = fields.integer("size", 0, 1, kMaxEdge);
    preprocess.longest_edge = fields.integer("max_size", preprocess.longest_edge, 1, kMaxEdge);
    return;
  }
  if (!fields.has("size")) {
    return;
  }
  const ConfigFields size = fields.child("size");
  fields.require(size.has("shortest_edge") && size.has("longest_edge"), "size",
                 "an object of shortest_edge and longest_edge");
  preprocess.shortest_edge = size.integer("shortest_edge", 0, 1, kMaxEdge);
  preprocess.longest_edge = size.integer("longest_edge", 0, 1, kMaxEdge);
}

PreprocessConfig parse_preprocess(const ConfigFields& fields) {
  PreprocessConfig preprocess;
  constexpr int kPilBilinear = 2;
  fields.require(fields.integer("resample", kPilBilinear, 0, 16) == kPilBilinear, "resample",
                 "2 (bilinear)");
  fields.require(!fields.has("pad_size"), "pad_size", "absent");
  preprocess.resize = fields.boolean("do_resize", preprocess.resize);
  preprocess.rescale = fields.boolean("do_rescale", preprocess.rescale);
  preprocess.normalize = fields.boolean("do_normalize", preprocess.normalize);
  preprocess.rescale_factor =
      static_cast<float>(fields.number("rescale_factor", 1.0 / 255.0, 1e-12, 1e6));
  preprocess.mean = channels(fields, "image_mean", preprocess.mean, -1e6);
  preprocess.std = channels(fields, "image_std", preprocess.std, 1e-12);
  parse_size(fields, preprocess);
  return preprocess;
}

ModelKind parse_kind(const ConfigFields& fields) {
  const std::string type = fields.word("model_type", "");
  const bool is_mm = type == to_string(ModelKind::kMmGroundingDino);
  fields.require(is_mm || type == to_string(ModelKind::kGroundingDino), "model_type",
                 "\"grounding-dino\" or \"mm-grounding-dino\"");
  return is_mm ? ModelKind::kMmGroundingDino : ModelKind::kGroundingDino;
}

/// Major version 5 or later of "5.17.0" means the rules of transformers 5.
TextRules parse_text_rules(const ConfigFields& fields) {
  const std::string version = fields.word("transformers_version", "0");
  char* end = nullptr;
  const long major = std::strtol(version.c_str(), &end, 10);
  if (end == version.c_str() || major < 0) {
    fields.reject("transformers_version", "a version number");
  }
  return major >= 5 ? TextRules::kTransformers5 : TextRules::kPublished;
}

void check_unsupported(const ConfigFields& fields) {
  fields.require(!fields.has("quantization_config"), "quantization_config", "absent");
  fields.require(!fields.has("backbone") || fields.has("backbone_config"), "backbone",
                 "null (give backbone_config)");
  fields.require(fields.boolean("two_stage", true), "two_stage", "true");
  fields.require(fields.integer("query_dim", 4, 1, 16) == 4, "query_dim", "4");
  fields.require(fields.boolean("embedding_init_target", true), "embedding_init_target", "true");
  fields.require(fields.word("position_embedding_type", "sine") == "sine",
                 "position_embedding_type", "\"sine\"");
}

/// Splits that the reference makes of d_model and of the encoder's FFN width.
void check_divisions(const ConfigFields& fields, const ModelConfig& config) {
  require_multiple(fields, "d_model", config.d_model, kGroupNormGroups, "its normalisation groups");
  require_multiple(fields, "d_model", config.d_model, config.encoder_heads,
                   "encoder_attention_heads");
  require_multiple(fields, "d_model", config.d_model, config.decoder_heads,
                   "decoder_attention_heads");
  // The text enhancer and the fusion have half the heads and half the FFN width.
  require_multiple(fields, "encoder_attention_heads", config.encoder_heads, 2, "two");
  require_multiple(fields, "encoder_ffn_dim", config.encoder_ffn, config.encoder_heads,
                   "encoder_attention_heads");
  if (config.levels < static_cast<int>(config.swin.out_stages.size())) {
    fields.reject("num_feature_levels", "at least the number of backbone outputs (" +
                                            std::to_string(config.swin.out_stages.size()) + ")");
  }
}

/// preprocessor_config.json, or what transformers 5 writes instead: the image processor's part of
/// processor_config.json.
std::string read_preprocessor(const std::filesystem::path& folder) {
  const std::filesystem::path combined = folder / "processor_config.json";
  std::error_code ignored;
  if (std::filesystem::exists(folder / kPreprocessorFile, ignored) ||
      !std::filesystem::exists(combined, ignored)) {
    return read_file(folder / kPreprocessorFile, kMaxConfigBytes);
  }
  const nlohmann::json document =
      parse_json_object(read_file(combined, kMaxConfigBytes), combined.string());
  const ConfigFields fields(document, "processor_config.json");
  if (!fields.raw("image_processor").is_object()) {
    fields.reject("image_processor", "an object");
  }
  return fields.raw("image_processor").dump();
}

}  // namespace

std::string_view to_string(ModelKind kind) noexcept {
  return kind == ModelKind::kMmGroundingDino ? "mm-grounding-dino" : "grounding-dino";
}

ModelConfig parse_model_config(std::string_view config_json, std::string_view preprocessor_json) {
  const nlohmann::json document = parse_json_object(config_json, std::string(kConfigFile));
  const ConfigFields fields(document, kConfigFile);
  ModelConfig config;
  config.kind = parse_kind(fields);
  config.biased_logits = config.kind == ModelKind::kMmGroundingDino;
  check_unsupported(fields);
  if (fields.has("backbone_config")) {
    config.swin = parse_swin(fields.child("backbone_config"));
  }
  config.text = parse_text(fields.child("text_config"));
  config.d_model = fields.integer("d_model", config.d_model, 1, kMaxWidth);
  config.encoder_layers = fields.integer("encoder_layers", config.encoder_layers, 1, kMaxLayers);
  config.decoder_layers = fields.integer("decoder_layers", config.decoder_layers, 1, kMaxLayers);
  config.encoder_heads =
      fields.integer("encoder_attention_heads", config.encoder_heads, 1, kMaxHeads);
  config.decoder_heads =
      fields.integer("decoder_attention_heads", config.decoder_heads, 1, kMaxHeads);
  config.encoder_ffn = fields.integer("encoder_ffn_dim", config.encoder_ffn, 1, kMaxFfn);
  config.decoder_ffn = fields.integer("decoder_ffn_dim", config.decoder_ffn, 1, kMaxFfn);
  config.encoder_points = fields.integer("encoder_n_points", config.encoder_points, 1, 64);
  config.decoder_points = fields.integer("decoder_n_points", config.decoder_points, 1, 64);
  config.levels = fields.integer("num_feature_levels", config.levels, 1, 16);
  config.queries = fields.integer("num_queries", config.queries, 1, 100'000);
  config.max_text_tokens = fields.integer("max_text_len", config.max_text_tokens, 4, kMaxWidth);
  config.layer_norm_eps = epsilon(fields, 1e-5);
  config.positional_temperature =
      fields.number("positional_embedding_temperature", config.positional_temperature, 1, 1e9);
  config.activation = activation(fields, "activation_function", "relu");
  // The other kind has no share flags: which heads are one is seen in the checkpoint (Weights).
  const bool may_share = config.kind == ModelKind::kGroundingDino;
  config.decoder_bbox_embed_share =
      may_share && fields.boolean("decoder_bbox_embed_share", config.decoder_bbox_embed_share);
  config.two_stage_bbox_embed_share =
      may_share && fields.boolean("two_stage_bbox_embed_share", config.two_stage_bbox_embed_share);
  if (config.two_stage_bbox_embed_share && !config.decoder_bbox_embed_share) {
    fields.reject("two_stage_bbox_embed_share", "false when decoder_bbox_embed_share is");
  }
  config.text_rules = parse_text_rules(fields);
  check_divisions(fields, config);
  if (!preprocessor_json.empty()) {
    const nlohmann::json image =
        parse_json_object(preprocessor_json, std::string(kPreprocessorFile));
    config.preprocess = parse_preprocess(ConfigFields(image, kPreprocessorFile));
  }
  return config;
}

ModelConfig load_model_config(const std::filesystem::path& folder) {
  return parse_model_config(read_file(folder / kConfigFile, kMaxConfigBytes),
                            read_preprocessor(folder));
}

}  // namespace itemcrop::io
