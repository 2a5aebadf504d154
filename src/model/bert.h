#pragma once

#include <memory>
#include <span>
#include <vector>

#include "model/stage_tap.h"
#include "model/weight_loader.h"
#include "ops/executor.h"

namespace itemcrop::model {

/// The prompts of a call, laid end to end; every array has one entry a token.
struct TextInput {
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> positions;
  std::vector<std::int32_t> blocks;  ///< tokens of one prompt attend to each other iff equal
  std::vector<ops::Segment> segments;

  std::int64_t tokens() const noexcept { return static_cast<std::int64_t>(ids.size()); }
};

/// BERT encoder without pooler (modeling_bert.py), restricted to attention within blocks, and the
/// projection to d_model.
class Bert {
 public:
  Bert(const WeightLoader& loader, LoadJobs& jobs);
  Bert(const Bert&) = delete;
  Bert& operator=(const Bert&) = delete;

  /// y: fp32 [tokens, d_model].
  void run(ops::Executor& executor, const TextInput& text, ops::Matrix y,
           const StageTap& tap) const;

 private:
  struct Layer {
    std::unique_ptr<const ops::LinearWeights> qkv;
    std::unique_ptr<const ops::LinearWeights> output;
    ops::Norm attention_norm;
    ops::FeedForwardWeights feed_forward;
    ops::Norm output_norm;
  };

  io::TextConfig config_;
  std::unique_ptr<const ops::Constant> words_;
  std::unique_ptr<const ops::Constant> positions_;
  std::unique_ptr<const ops::Constant> types_;
  ops::Norm embedding_norm_;
  std::vector<Layer> layers_;
  std::unique_ptr<const ops::LinearWeights> projection_;
};

}  // namespace itemcrop::model
