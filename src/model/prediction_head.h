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

}  // namespace itemcrop::model
