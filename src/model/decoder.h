#pragma once

#include <memory>
#include <span>
#include <vector>

#include "model/encoder.h"
#include "model/prediction_head.h"

namespace itemcrop::model {

/// Cross-modality decoder (paper, section 3.4; GroundingDinoDecoder): self-attention between
/// queries, attention to the text, deformable attention to the image, feed-forward; each layer
/// refines every query's box.
class Decoder {
 public:
  Decoder(const WeightLoader& loader, LoadJobs& jobs);
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  /// boxes: fp32 [queries, 4], the proposals in, the last layer's prediction out.
  /// logits: fp32 [queries, >= longest text], see Executor::similarity.
  void run(ops::Executor& executor, const SampleBatch& batch,
           std::span<const ops::Segment> query_segments, ops::Matrix boxes, ops::Matrix logits,
           const StageTap& tap) const;

 private:
  struct Layer {
    std::unique_ptr<const ops::LinearWeights> self_query_key_value;  ///< of rows [x, position]
    std::unique_ptr<const ops::LinearWeights> self_output;
    ops::Norm self_norm;
    std::unique_ptr<const ops::LinearWeights> text_query;  ///< of rows [x, position]
    std::unique_ptr<const ops::LinearWeights> text_key_value;
    std::unique_ptr<const ops::LinearWeights> text_output;
    ops::Norm text_norm;
    std::unique_ptr<const ops::LinearWeights> image_value;
    ops::DeformableWeights image;
    ops::FeedForwardWeights feed_forward;
    ops::Norm output_norm;
  };

  /// placed: [x, position] a query, x in and out.
  void run_layer(ops::Executor& executor, const Layer& layer, const SampleBatch& batch,
                 std::span<const ops::Segment> query_segments, ops::Matrix placed,
                 ops::Matrix boxes) const;
  const PredictionHead& box_head(std::size_t layer) const {
    return *box_heads_[box_heads_.size() == 1 ? 0 : layer];
  }

  int heads_;
  int points_;
  int width_;
  std::unique_ptr<const ops::Constant> queries_;  ///< [num_queries, d], the first layer's input
  std::unique_ptr<const PredictionHead> position_head_;
  ops::Norm norm_;
  std::vector<Layer> layers_;
  std::vector<std::unique_ptr<const PredictionHead>> box_heads_;  ///< one, or one a layer
  ClassHead class_head_;                                          ///< of the last layer's head
};

}  // namespace itemcrop::model
