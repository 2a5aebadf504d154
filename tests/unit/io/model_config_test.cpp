#include "io/model_config.h"

#include <cmath>
#include <string>

#include <gtest/gtest.h>

#include "small_config.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace itemcrop::io {
namespace {

using nlohmann::json;
using test::expect_error;
using test::small_config;

ModelConfig parse(const json& config) { return parse_model_config(config.dump(), ""); }

/// Sets the field at a JSON pointer ("/text_config/hidden_size") and expects a refusal.
void expect_refused(ErrorCode code, const char* pointer, const json& value, const char* part) {
  SCOPED_TRACE(std::string(pointer) + " = " + value.dump());
  json config = small_config();
  config[json::json_pointer(pointer)] = value;
  expect_error(code, part, [&] { parse(config); });
}

void expect_corrupt(const char* pointer, const json& value, const char* part) {
  expect_refused(ErrorCode::kCorruptModel, pointer, value, part);
}

void expect_unsupported(const char* pointer, const json& value, const char* part) {
  expect_refused(ErrorCode::kUnsupportedModel, pointer, value, part);
}

ModelConfig parse_with(const char* pointer, const json& value) {
  json config = small_config();
  config[json::json_pointer(pointer)] = value;
  return parse(config);
}

TEST(ModelConfig, ReadsEveryField) {
  json text = small_config();
  text.update(json::parse(R"({"encoder_n_points": 2, "decoder_n_points": 3, "max_text_len": 48,
    "layer_norm_eps": 1e-6, "positional_embedding_temperature": 10000,
    "activation_function": "gelu", "decoder_bbox_embed_share": false})"));
  text["backbone_config"].update(json::parse(
      R"({"patch_size": 2, "mlp_ratio": 2.5, "qkv_bias": false, "hidden_act": "relu",
          "layer_norm_eps": 1e-4})"));
  text["text_config"].update(
      json::parse(R"({"type_vocab_size": 1, "pad_token_id": 3, "hidden_act": "relu",
                      "layer_norm_eps": 1e-3})"));
  const ModelConfig config = parse(text);
  EXPECT_EQ(config.kind, ModelKind::kGroundingDino);
  EXPECT_EQ(config.d_model, 64);
  EXPECT_EQ(config.encoder_layers, 1);
  EXPECT_EQ(config.decoder_layers, 2);
  EXPECT_EQ(config.encoder_heads, 4);
  EXPECT_EQ(config.decoder_heads, 4);
  EXPECT_EQ(config.encoder_ffn, 128);
  EXPECT_EQ(config.decoder_ffn, 96);
  EXPECT_EQ(config.encoder_points, 2);
  EXPECT_EQ(config.decoder_points, 3);
  EXPECT_EQ(config.levels, 3);
  EXPECT_EQ(config.queries, 10);
  EXPECT_EQ(config.max_text_tokens, 48);
  EXPECT_FLOAT_EQ(config.layer_norm_eps, 1e-6F);
  EXPECT_EQ(config.positional_temperature, 10000);
  EXPECT_EQ(config.activation, Activation::kGelu);
  EXPECT_FALSE(config.decoder_bbox_embed_share);
  EXPECT_EQ(config.text_rules, io::TextRules::kPublished);
  EXPECT_EQ(config.swin.patch_size, 2);
  EXPECT_EQ(config.swin.embed_dim, 32);
  EXPECT_EQ(config.swin.depths, (std::vector<int>{1, 2}));
  EXPECT_EQ(config.swin.heads, (std::vector<int>{2, 4}));
  EXPECT_EQ(config.swin.window, 4);
  EXPECT_EQ(config.swin.mlp_ratio, 2.5);
  EXPECT_FALSE(config.swin.qkv_bias);
  EXPECT_EQ(config.swin.out_stages, (std::vector<int>{1, 2}));
  EXPECT_FLOAT_EQ(config.swin.layer_norm_eps, 1e-4F);
  EXPECT_EQ(config.swin.activation, Activation::kRelu);
  EXPECT_EQ(config.swin.stage_width(2), 64);
  EXPECT_EQ(config.text.vocab_size, 1100);
  EXPECT_EQ(config.text.hidden, 24);
  EXPECT_EQ(config.text.layers, 1);
  EXPECT_EQ(config.text.heads, 2);
  EXPECT_EQ(config.text.intermediate, 48);
  EXPECT_EQ(config.text.max_positions, 64);
  EXPECT_EQ(config.text.type_vocab, 1);
  EXPECT_EQ(config.text.pad_token, 3);
  EXPECT_FLOAT_EQ(config.text.layer_norm_eps, 1e-3F);
  EXPECT_EQ(config.text.activation, Activation::kRelu);
}

TEST(ModelConfig, AbsentAndNullFieldsAreThoseOfTransformers) {
  for (const char* text : {R"({"model_type":"grounding-dino"})",
                           R"({"model_type":"grounding-dino","backbone_config":null,"backbone":null,
                              "text_config":null,"d_model":null,"two_stage":null,
                              "quantization_config":null,"activation_function":null})"}) {
    const ModelConfig config = parse_model_config(text, "");
    EXPECT_EQ(config.d_model, 256);
    EXPECT_EQ(config.encoder_layers, 6);
    EXPECT_EQ(config.decoder_layers, 6);
    EXPECT_EQ(config.encoder_heads, 8);
    EXPECT_EQ(config.decoder_heads, 8);
    EXPECT_EQ(config.encoder_ffn, 2048);
    EXPECT_EQ(config.decoder_ffn, 2048);
    EXPECT_EQ(config.encoder_points, 4);
    EXPECT_EQ(config.decoder_points, 4);
    EXPECT_EQ(config.levels, 4);
    EXPECT_EQ(config.queries, 900);
    EXPECT_EQ(config.max_text_tokens, 256);
    EXPECT_EQ(config.query_dim, 4);
    EXPECT_FLOAT_EQ(config.layer_norm_eps, 1e-5F);
    EXPECT_EQ(config.positional_temperature, 20);
    EXPECT_EQ(config.activation, Activation::kRelu);
    EXPECT_TRUE(config.decoder_bbox_embed_share);
    EXPECT_FALSE(config.two_stage_bbox_embed_share);
    EXPECT_TRUE(config.embedding_init_target);
    EXPECT_TRUE(config.two_stage);
    EXPECT_EQ(config.text_rules, io::TextRules::kPublished);
    EXPECT_EQ(config.swin.embed_dim, 96);
    EXPECT_EQ(config.swin.depths, (std::vector<int>{2, 2, 6, 2}));
    EXPECT_EQ(config.swin.heads, (std::vector<int>{3, 6, 12, 24}));
    EXPECT_EQ(config.swin.window, 7);
    EXPECT_EQ(config.swin.mlp_ratio, 4.0);
    EXPECT_TRUE(config.swin.qkv_bias);
    EXPECT_EQ(config.swin.out_stages, (std::vector<int>{2, 3, 4}));
    EXPECT_FLOAT_EQ(config.swin.layer_norm_eps, 1e-5F);
    EXPECT_EQ(config.swin.activation, Activation::kGelu);
    EXPECT_EQ(config.text.vocab_size, 30522);
    EXPECT_EQ(config.text.hidden, 768);
    EXPECT_EQ(config.text.layers, 12);
    EXPECT_EQ(config.text.heads, 12);
    EXPECT_EQ(config.text.intermediate, 3072);
    EXPECT_EQ(config.text.max_positions, 512);
    EXPECT_EQ(config.text.type_vocab, 2);
    EXPECT_FLOAT_EQ(config.text.layer_norm_eps, 1e-12F);
    EXPECT_EQ(config.text.pad_token, 0);
    EXPECT_EQ(config.preprocess.shortest_edge, 800);
    EXPECT_EQ(config.preprocess.longest_edge, 1333);
  }
}

/// transformers 4 writes every default of the base class into nested configs, some of them null.
TEST(ModelConfig, ReadsTheVerboseLayoutOfPublishedCheckpoints) {
  const char* config_json = R"({
    "_commit_hash": null, "architectures": ["GroundingDinoForObjectDetection"],
    "auxiliary_loss": false, "backbone": null, "backbone_kwargs": null, "use_timm_backbone": false,
    "use_pretrained_backbone": false, "torch_dtype": "float32", "transformers_version": null,
    "model_type": "grounding-dino", "is_encoder_decoder": true,
    "backbone_config": {
      "_name_or_path": "", "add_cross_attention": false, "architectures": null,
      "bad_words_ids": null, "cross_attention_hidden_size": null, "decoder_start_token_id": null,
      "depths": [2, 2, 18, 2], "drop_path_rate": 0.1, "embed_dim": 128, "encoder_stride": 32,
      "hidden_act": "gelu", "hidden_size": 1024, "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
      "image_size": 384, "is_decoder": false, "label2id": {"LABEL_0": 0, "LABEL_1": 1},
      "model_type": "swin", "num_heads": [4, 8, 16, 32], "num_layers": 4, "pad_token_id": null,
      "out_features": ["stage2", "stage3", "stage4"], "out_indices": [2, 3, 4],
      "stage_names": ["stem", "stage1", "stage2", "stage3", "stage4"], "torch_dtype": null,
      "use_absolute_embeddings": false, "window_size": 12
    },
    "text_config": {
      "_name_or_path": "bert-base-uncased", "architectures": ["BertForMaskedLM"],
      "attention_probs_dropout_prob": 0.1, "classifier_dropout": null, "eos_token_id": null,
      "gradient_checkpointing": false, "model_type": "bert", "pad_token_id": 0,
      "position_embedding_type": "absolute", "torch_dtype": null, "use_cache": true
    }
  })";
  const char* preprocessor_json = R"({
    "do_convert_annotations": true, "do_normalize": true, "do_pad": true, "do_rescale": true,
    "do_resize": true, "format": "coco_detection", "image_mean": [0.485, 0.456, 0.406],
    "image_processor_type": "GroundingDinoImageProcessor", "image_std": [0.229, 0.224, 0.225],
    "processor_class": "GroundingDinoProcessor", "resample": 2,
    "rescale_factor": 0.00392156862745098, "size": {"longest_edge": 1333, "shortest_edge": 800}
  })";
  const ModelConfig config = parse_model_config(config_json, preprocessor_json);
  EXPECT_EQ(config.swin.embed_dim, 128);
  EXPECT_EQ(config.swin.window, 12);
  EXPECT_EQ(config.swin.depths[2], 18);
  EXPECT_EQ(config.swin.stage_width(4), 1024);
  EXPECT_EQ(config.text.hidden, 768);
  EXPECT_EQ(config.text_rules, io::TextRules::kPublished);
}

TEST(ModelConfig, TransformersVersionChoosesTheTextRules) {
  const auto rules = [](const char* version) {
    return parse_with("/transformers_version", version).text_rules;
  };
  EXPECT_EQ(rules("4.57.1"), io::TextRules::kPublished);
  EXPECT_EQ(rules("5.0.0.dev0"), io::TextRules::kTransformers5);
  EXPECT_EQ(rules("5.17.0"), io::TextRules::kTransformers5);
  EXPECT_EQ(rules("10.0"), io::TextRules::kTransformers5);
  expect_corrupt("/transformers_version", "new", "transformers_version must be a version number");
  expect_corrupt("/transformers_version", 5, "transformers_version must be a string");
}

TEST(ModelConfig, RecognisesMmGroundingDino) {
  const ModelConfig config = parse_with("/model_type", "mm-grounding-dino");
  EXPECT_EQ(config.kind, ModelKind::kMmGroundingDino);
  EXPECT_EQ(to_string(config.kind), "mm-grounding-dino");
  EXPECT_TRUE(config.biased_logits);
  EXPECT_FALSE(config.decoder_bbox_embed_share);
}

TEST(ModelConfig, RefusesOtherModels) {
  expect_unsupported("/model_type", "deformable_detr", "model_type must be");
  expect_unsupported("/model_type", nullptr, "model_type must be");
  expect_unsupported("/backbone_config/model_type", "resnet", "backbone_config.model_type");
  expect_unsupported("/text_config/model_type", "roberta", "text_config.model_type");
  expect_unsupported("/two_stage", false, "two_stage must be true");
  expect_unsupported("/query_dim", 2, "query_dim must be 4");
  expect_unsupported("/embedding_init_target", false, "embedding_init_target must be true");
  expect_unsupported("/position_embedding_type", "learned", "position_embedding_type");
  expect_unsupported("/quantization_config", json::object(), "quantization_config must be absent");
  expect_unsupported("/activation_function", "silu", "activation_function");
  expect_unsupported("/backbone_config/hidden_act", "gelu_new", "backbone_config.hidden_act");
  expect_unsupported("/backbone_config/use_absolute_embeddings", true, "use_absolute_embeddings");
  expect_unsupported("/backbone_config/num_channels", 4, "num_channels must be 3");
  expect_unsupported("/text_config/hidden_act", "tanh", "text_config.hidden_act");
  expect_unsupported("/text_config/position_embedding_type", "relative_key",
                     "text_config.position_embedding_type");
  expect_unsupported("/text_config/is_decoder", true, "text_config.is_decoder");
  json timm = small_config();
  timm.erase("backbone_config");
  timm["backbone"] = "swin_tiny_patch4_window7_224";
  expect_error(ErrorCode::kUnsupportedModel, "backbone must be null", [&] { parse(timm); });
}

struct IntegerField {
  const char* pointer;
  const char* shown;
  int minimum;
  int maximum;
};

class IntegerFields : public testing::TestWithParam<IntegerField> {};

TEST_P(IntegerFields, RefuseWrongTypesAndValuesOutOfRange) {
  const IntegerField& field = GetParam();
  const std::string expected = std::string("config.json: ") + field.shown +
                               " must be an integer from " + std::to_string(field.minimum) +
                               " to " + std::to_string(field.maximum) + ", not ";
  for (const json& value :
       {json(field.minimum - 1), json(field.maximum + 1), json(-1), json(1e300), json(1.5),
        json("7"), json(true), json::array(), json(18446744073709551615ULL)}) {
    expect_corrupt(field.pointer, value, expected.c_str());
  }
}

INSTANTIATE_TEST_SUITE_P(
    ModelConfig, IntegerFields,
    testing::Values(
        IntegerField{"/d_model", "d_model", 1, 65536},
        IntegerField{"/encoder_layers", "encoder_layers", 1, 256},
        IntegerField{"/decoder_layers", "decoder_layers", 1, 256},
        IntegerField{"/encoder_attention_heads", "encoder_attention_heads", 1, 256},
        IntegerField{"/decoder_attention_heads", "decoder_attention_heads", 1, 256},
        IntegerField{"/encoder_ffn_dim", "encoder_ffn_dim", 1, 262144},
        IntegerField{"/decoder_ffn_dim", "decoder_ffn_dim", 1, 262144},
        IntegerField{"/encoder_n_points", "encoder_n_points", 1, 64},
        IntegerField{"/decoder_n_points", "decoder_n_points", 1, 64},
        IntegerField{"/num_feature_levels", "num_feature_levels", 1, 16},
        IntegerField{"/num_queries", "num_queries", 1, 100000},
        IntegerField{"/max_text_len", "max_text_len", 4, 65536},
        IntegerField{"/query_dim", "query_dim", 1, 16},
        IntegerField{"/backbone_config/patch_size", "backbone_config.patch_size", 1, 64},
        IntegerField{"/backbone_config/num_channels", "backbone_config.num_channels", 1, 16},
        IntegerField{"/backbone_config/embed_dim", "backbone_config.embed_dim", 1, 8192},
        IntegerField{"/backbone_config/window_size", "backbone_config.window_size", 1, 128},
        IntegerField{"/text_config/vocab_size", "text_config.vocab_size", 1, 4194304},
        IntegerField{"/text_config/hidden_size", "text_config.hidden_size", 1, 65536},
        IntegerField{"/text_config/num_hidden_layers", "text_config.num_hidden_layers", 1, 256},
        IntegerField{"/text_config/num_attention_heads", "text_config.num_attention_heads", 1, 256},
        IntegerField{"/text_config/intermediate_size", "text_config.intermediate_size", 1, 262144},
        IntegerField{"/text_config/max_position_embeddings", "text_config.max_position_embeddings",
                     1, 65536},
        IntegerField{"/text_config/type_vocab_size", "text_config.type_vocab_size", 1, 65536},
        IntegerField{"/text_config/pad_token_id", "text_config.pad_token_id", 0, 1099}));

TEST(ModelConfig, RefusesOtherFieldsOfTheWrongTypeOrRange) {
  expect_corrupt("/layer_norm_eps", 0, "layer_norm_eps must be a number from 1e-20 to 1");
  expect_corrupt("/layer_norm_eps", "x", "layer_norm_eps must be a number");
  expect_corrupt("/positional_embedding_temperature", 0, "positional_embedding_temperature");
  expect_corrupt("/decoder_bbox_embed_share", 1, "decoder_bbox_embed_share must be true or false");
  expect_corrupt("/two_stage", "yes", "two_stage must be true or false");
  expect_corrupt("/activation_function", 1, "activation_function must be a string");
  expect_corrupt("/backbone_config", 3, "backbone_config must be an object");
  expect_corrupt("/text_config", json::array(), "text_config must be an object");
  expect_corrupt("/backbone_config/mlp_ratio", -1, "backbone_config.mlp_ratio");
  expect_corrupt("/backbone_config/mlp_ratio", 1e9, "backbone_config.mlp_ratio");
  expect_corrupt("/backbone_config/qkv_bias", 1, "backbone_config.qkv_bias");
  expect_corrupt("/backbone_config/layer_norm_eps", 2, "backbone_config.layer_norm_eps");
  expect_corrupt("/text_config/layer_norm_eps", 2, "text_config.layer_norm_eps");
}

TEST(ModelConfig, RefusesSizesThatDoNotDivide) {
  expect_corrupt("/d_model", 48, "d_model must be a multiple of its normalisation groups (32)");
  expect_corrupt("/encoder_attention_heads", 6, "d_model must be a multiple of encoder_attention");
  expect_corrupt("/decoder_attention_heads", 3, "d_model must be a multiple of decoder_attention");
  expect_corrupt("/encoder_attention_heads", 1,
                 "encoder_attention_heads must be a multiple of two");
  expect_corrupt("/encoder_ffn_dim", 130, "encoder_ffn_dim must be a multiple");
  expect_corrupt("/text_config/num_attention_heads", 5, "text_config.hidden_size must be a mult");
  expect_corrupt("/backbone_config/num_heads", {2, 5}, "stage 2: 64");
}

TEST(ModelConfig, RefusesContradictions) {
  expect_corrupt("/num_feature_levels", 1, "at least the number of backbone outputs (2)");
  json config = small_config();
  config["two_stage_bbox_embed_share"] = true;
  config["decoder_bbox_embed_share"] = false;
  expect_error(ErrorCode::kCorruptModel, "two_stage_bbox_embed_share must be false",
               [&] { parse(config); });
}

TEST(SwinConfig, RefusesBadLists) {
  expect_corrupt("/backbone_config/depths", json::array(), "backbone_config.depths");
  expect_corrupt("/backbone_config/depths", {1, 0}, "backbone_config.depths");
  expect_corrupt("/backbone_config/depths", {1, "2"}, "backbone_config.depths");
  expect_corrupt("/backbone_config/depths", 2, "backbone_config.depths");
  expect_corrupt("/backbone_config/depths", std::vector<int>(9, 1), "at most 8 stages");
  expect_corrupt("/backbone_config/depths", std::vector<int>(17, 1), "a list of 1 to 16");
  expect_corrupt("/backbone_config/num_heads", {2}, "as long as depths (2)");
}

std::vector<int> stages(const json& features, const json& indices) {
  json config = small_config();
  config["backbone_config"]["out_features"] = features;
  config["backbone_config"]["out_indices"] = indices;
  return parse(config).swin.out_stages;
}

TEST(SwinConfig, TakesStagesFromNamesOrIndices) {
  EXPECT_EQ(stages({"stage2"}, nullptr), (std::vector<int>{2}));
  EXPECT_EQ(stages(nullptr, {1, 2}), (std::vector<int>{1, 2}));
  EXPECT_EQ(stages(nullptr, {-2, -1}), (std::vector<int>{1, 2}));
  EXPECT_EQ(stages({"stage1", "stage2"}, {1, -1}), (std::vector<int>{1, 2}));
  EXPECT_EQ(stages(nullptr, nullptr), (std::vector<int>{2}));
}

TEST(SwinConfig, RefusesStagesThatDoNotExistOrDisagree) {
  const auto refused = [](ErrorCode code, const json& features, const json& indices,
                          const char* part) {
    SCOPED_TRACE(features.dump() + indices.dump());
    expect_error(code, part, [&] { stages(features, indices); });
  };
  refused(ErrorCode::kCorruptModel, {"stage3"}, nullptr, "out_features must be a list");
  refused(ErrorCode::kCorruptModel, "stage2", nullptr, "out_features must be a list");
  refused(ErrorCode::kCorruptModel, json::array(), nullptr, "out_features must be a list");
  refused(ErrorCode::kCorruptModel, {"stage2", "stage1"}, nullptr, "ascending");
  refused(ErrorCode::kCorruptModel, {"stage2", "stage2"}, nullptr, "ascending");
  refused(ErrorCode::kCorruptModel, nullptr, {3}, "out_indices must be a list");
  refused(ErrorCode::kCorruptModel, nullptr, {-4}, "out_indices must be a list");
  refused(ErrorCode::kCorruptModel, {"stage1"}, {2}, "the same stages as out_features");
  refused(ErrorCode::kUnsupportedModel, {"stem", "stage1"}, nullptr, "stages after the stem");
  refused(ErrorCode::kUnsupportedModel, nullptr, {0, 1}, "stages after the stem");
}

TEST(ModelConfig, RefusesFilesThatAreNotJsonObjects) {
  expect_error(ErrorCode::kCorruptModel, "config.json: not valid JSON",
               [] { parse_model_config("{", ""); });
  expect_error(ErrorCode::kCorruptModel, "config.json: key 'd_model' occurs twice", [] {
    parse_model_config(R"({"model_type":"grounding-dino","d_model":1,"d_model":2})", "");
  });
  expect_error(ErrorCode::kCorruptModel, "preprocessor_config.json: not a JSON object",
               [] { parse_model_config(small_config().dump(), "[]"); });
}

TEST(ModelConfig, ShowsLongValuesCut) {
  json config = small_config();
  config["d_model"] = std::string(200, 'x') + "é";
  try {
    parse(config);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_LT(std::string(error.what()).size(), 200U);
  }
}

PreprocessConfig preprocess(const json& text) {
  return parse_model_config(small_config().dump(), text.dump()).preprocess;
}

void expect_preprocess_refused(ErrorCode code, const json& text, const char* part) {
  SCOPED_TRACE(text.dump());
  expect_error(code, part, [&] { preprocess(text); });
}

TEST(PreprocessConfig, ReadsEveryField) {
  const PreprocessConfig config = preprocess(json::parse(R"({
    "size": {"shortest_edge": 320, "longest_edge": 533}, "do_resize": false, "do_rescale": false,
    "do_normalize": false, "rescale_factor": 0.5, "image_mean": [0.1, 0.2, 0.3],
    "image_std": [1, 2, 3], "resample": 2, "do_pad": true, "unknown": []})"));
  EXPECT_EQ(config.shortest_edge, 320);
  EXPECT_EQ(config.longest_edge, 533);
  EXPECT_FALSE(config.resize);
  EXPECT_FALSE(config.rescale);
  EXPECT_FALSE(config.normalize);
  EXPECT_FLOAT_EQ(config.rescale_factor, 0.5F);
  EXPECT_FLOAT_EQ(config.mean[1], 0.2F);
  EXPECT_FLOAT_EQ(config.std[2], 3.0F);
}

TEST(PreprocessConfig, ReadsTheOldNumericSize) {
  const PreprocessConfig config = preprocess(json::parse(R"({"size": 600, "max_size": 1000})"));
  EXPECT_EQ(config.shortest_edge, 600);
  EXPECT_EQ(config.longest_edge, 1000);
  EXPECT_EQ(preprocess(json::parse(R"({"size": 600})")).longest_edge, 1333);
}

TEST(PreprocessConfig, RefusesBadFields) {
  const auto corrupt = [](const char* text, const char* part) {
    expect_preprocess_refused(ErrorCode::kCorruptModel, json::parse(text), part);
  };
  const auto unsupported = [](const char* text, const char* part) {
    expect_preprocess_refused(ErrorCode::kUnsupportedModel, json::parse(text), part);
  };
  corrupt(R"({"size": {"shortest_edge": 0, "longest_edge": 9}})", "size.shortest_edge must be");
  corrupt(R"({"size": {"shortest_edge": 1, "longest_edge": 16385}})", "size.longest_edge must be");
  corrupt(R"({"size": "800"})", "size must be an object");
  corrupt(R"({"size": 0})", "preprocessor_config.json: size must be an integer");
  corrupt(R"({"image_mean": [1, 2]})", "image_mean must be a list of three numbers");
  corrupt(R"({"image_mean": [1, 2, "3"]})", "image_mean must be a list of three numbers");
  corrupt(R"({"image_std": [1, 0, 1]})", "image_std must be numbers from");
  corrupt(R"({"rescale_factor": 0})", "rescale_factor must be a number");
  corrupt(R"({"do_resize": 1})", "do_resize must be true or false");
  unsupported(R"({"size": {"height": 800, "width": 800}})", "size must be an object of shortest");
  unsupported(R"({"size": {"shortest_edge": 800}})", "size must be an object of shortest_edge");
  unsupported(R"({"resample": 3})", "resample must be 2 (bilinear)");
  unsupported(R"({"pad_size": {"height": 1, "width": 1}})", "pad_size must be absent");
}

TEST(LoadModelConfig, ReadsBothFiles) {
  const test::TemporaryFolder folder;
  folder.write("config.json", small_config().dump());
  expect_error(ErrorCode::kNotFound, "preprocessor_config.json",
               [&] { load_model_config(folder.path()); });
  folder.write("processor_config.json", R"({"image_processor":{"size":{"shortest_edge":64,
    "longest_edge":96}}})");
  EXPECT_EQ(load_model_config(folder.path()).preprocess.shortest_edge, 64);
  folder.write("preprocessor_config.json", R"({"size":{"shortest_edge":32,"longest_edge":96}})");
  const ModelConfig config = load_model_config(folder.path());
  EXPECT_EQ(config.preprocess.shortest_edge, 32);
  EXPECT_EQ(config.d_model, 64);
}

TEST(LoadModelConfig, NamesTheFileThatIsAbsent) {
  const test::TemporaryFolder folder;
  expect_error(ErrorCode::kNotFound, "config.json", [&] { load_model_config(folder.path()); });
}

}  // namespace
}  // namespace itemcrop::io
