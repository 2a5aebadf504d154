#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/weight_loader.h"
#include "ops/executor.h"

namespace itemcrop::model {

/// Layers of every box head (GroundingDinoDecoder, GroundingDinoModel.encoder_output_bbox_embed).
inline constexpr int kBoxHeadLayers = 3;

/// A multi-layer perceptron with ReLU between its layers (GroundingDinoMLPPredictionHead): box
/// deltas, and the decoder's query positions. Kept in fp32 or in what keeps as many bits of it as
/// TF32: few rows, and boxes show every error.
class PredictionHead {
 public:
  /// Prepares `name`.layers.0 to `name`.layers.(layers - 1).
  PredictionHead(const WeightLoader& loader, const std::string& name, int layers);

  DType input_dtype() const noexcept { return layers_.front()->rows_dtype(); }

  /// x [rows, in] to y [rows, out].
  void run(ops::Executor& executor, ops::Matrix x, ops::Matrix y) const;

 private:
  std::vector<std::unique_ptr<const ops::LinearWeights>> layers_;
};

/// How features are scored against tokens: x.t in grounding-dino
/// (GroundingDinoContrastiveEmbedding), x.t / sqrt(d) + bias in mm-grounding-dino
/// (MMGroundingDinoContrastiveEmbedding).
struct ClassHead {
  float scale = 1.0F;
  float bias = 0.0F;
};

/// `bias` names a head's only tensor, which is read if the config's heads have one.
ClassHead load_class_head(const WeightLoader& loader, const std::string& bias);

}  // namespace itemcrop::model
