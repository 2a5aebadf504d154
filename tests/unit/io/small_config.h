#pragma once

#include <string>

#include <nlohmann/json.hpp>

namespace itemcrop::test {

/// A complete, small config.json to change one field of.
inline nlohmann::json small_config() {
  return nlohmann::json::parse(R"({
    "model_type": "grounding-dino",
    "transformers_version": "4.40.0",
    "backbone_config": {
      "model_type": "swin", "embed_dim": 32, "depths": [1, 2], "num_heads": [2, 4],
      "window_size": 4, "out_features": ["stage1", "stage2"], "out_indices": [1, 2]
    },
    "text_config": {
      "model_type": "bert", "vocab_size": 1100, "hidden_size": 24, "num_hidden_layers": 1,
      "num_attention_heads": 2, "intermediate_size": 48, "max_position_embeddings": 64
    },
    "d_model": 64, "num_feature_levels": 3, "num_queries": 10,
    "encoder_layers": 1, "encoder_attention_heads": 4, "encoder_ffn_dim": 128,
    "decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 96
  })");
}

}  // namespace itemcrop::test
