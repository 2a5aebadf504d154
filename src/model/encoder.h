#pragma once

#include <memory>
#include <span>
#include <vector>

#include "model/bert.h"
#include "model/fusion.h"
#include "model/stage_tap.h"
#include "model/weight_loader.h"
#include "ops/executor.h"

namespace itemcrop::model {

/// A batch on its way through encoder and decoder: one sample is one image with one prompt.
struct SampleBatch {
  ops::Matrix vision;  ///< [rows of all samples' pyramids, d]
  ops::Matrix text;    ///< fp32 [tokens of all samples, d]
  std::span<const ops::Pyramid> pyramids;
  std::span<const ops::Segment> vision_segments;
  const TextInput* text_input = nullptr;  ///< blocks, positions and segments of `text`
};

/// The exact savings (docs/design/model.md), off for comparison only.
struct ModelSwitches {
  bool folded_fusion = true;
  bool selected_boxes_only = true;
};

/// Self-attention over the text within its blocks and a feed-forward network, half as wide as the
/// image side's (GroundingDinoTextEnhancerLayer).
class TextEnhancer {
 public:
  TextEnhancer(const WeightLoader& loader, int layer, LoadJobs& jobs);
  TextEnhancer(const TextEnhancer&) = delete;
  TextEnhancer& operator=(const TextEnhancer&) = delete;

  /// In place on text [tokens, d]; `positions` [tokens, d] is added to queries and keys.
  void run(ops::Executor& executor, ops::Matrix text, ops::Matrix positions,
           const TextInput& input) const;

 private:
  int heads_;
  std::unique_ptr<const ops::LinearWeights> query_key_;
  std::unique_ptr<const ops::LinearWeights> value_;
  std::unique_ptr<const ops::LinearWeights> output_;
  ops::Norm attention_norm_;
  ops::FeedForwardWeights feed_forward_;
  ops::Norm output_norm_;
};

/// Multi-scale deformable self-attention over a pyramid's cells and a feed-forward network
/// (GroundingDinoDeformableLayer).
class DeformableLayer {
 public:
  DeformableLayer(const WeightLoader& loader, int layer, LoadJobs& jobs);
  DeformableLayer(const DeformableLayer&) = delete;
  DeformableLayer& operator=(const DeformableLayer&) = delete;

  void run(ops::Executor& executor, ops::Matrix vision, ops::Matrix positions,
           std::span<const ops::Pyramid> pyramids,
           std::span<const ops::Segment> vision_segments) const;

 private:
  int heads_;
  int points_;
  std::unique_ptr<const ops::LinearWeights> value_;
  ops::DeformableWeights attention_;
  ops::FeedForwardWeights feed_forward_;
  ops::Norm output_norm_;
};

/// The feature enhancer (paper, section 3.2): fusion, text enhancer and deformable layer, repeated.
class Encoder {
 public:
  Encoder(const WeightLoader& loader, LoadJobs& jobs);
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;

  /// In place on batch.vision and batch.text.
  void run(ops::Executor& executor, const SampleBatch& batch, const ModelSwitches& switches,
           const StageTap& tap) const;

 private:
  struct Layer {
    Layer(const WeightLoader& loader, int index, LoadJobs& jobs)
        : fusion(loader, index, jobs), text(loader, index, jobs), vision(loader, index, jobs) {}
    Fusion fusion;
    TextEnhancer text;
    DeformableLayer vision;
  };

  float temperature_;
  io::TextRules text_rules_;
  std::unique_ptr<const ops::Constant> level_embedding_;
  std::vector<std::unique_ptr<Layer>> layers_;
};

/// Prepared deformable attention of `name` (sampling_offsets, attention_weights, output_proj).
ops::DeformableWeights load_deformable(const WeightLoader& loader, const std::string& name,
                                       const std::string& norm);

}  // namespace itemcrop::model
