#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/model_config.h"

namespace itemcrop::io {

/// One weight of the model under its published name.
struct WeightSpec {
  std::string name;
  std::vector<std::int64_t> shape;  ///< empty: a scalar, stored with the shape [] or [1]
  /// Other published names of the same tensor. A checkpoint holds one of the names or several.
  std::vector<std::string> aliases;
};

/// Every weight that a checkpoint of this config must hold, each once: Swin, BERT, projections,
/// encoder, decoder, heads. Heads that all decoder layers share are listed once, as
/// `bbox_embed.0.*` and `class_embed.0.bias`.
/// Source: state_dict of transformers' GroundingDinoForObjectDetection and
/// MMGroundingDinoForObjectDetection as save_pretrained writes it.
std::vector<WeightSpec> weight_table(const ModelConfig& config);

}  // namespace itemcrop::io
