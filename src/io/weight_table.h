#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/model_config.h"

namespace itemcrop::io {

/// One weight of the model under its published name.
struct WeightSpec {
  std::string name;
  std::vector<std::int64_t> shape;
  /// Other published names of the same tensor. A checkpoint holds one of the names or several.
  std::vector<std::string> aliases;
};

/// Every weight that a checkpoint of this config must hold, each once: Swin, BERT, projections,
/// encoder, decoder, heads. With decoder_bbox_embed_share the box heads of all decoder layers are
/// one, listed as `bbox_embed.0.*`.
/// Source: state_dict of transformers' GroundingDinoForObjectDetection as save_pretrained writes
/// it.
std::vector<WeightSpec> weight_table(const ModelConfig& config);

}  // namespace itemcrop::io
