#pragma once

#include <memory>
#include <span>
#include <vector>

#include "model/encoder.h"
#include "model/prediction_head.h"

namespace itemcrop::model {

/// Language-guided query selection (paper, section 3.3): every encoder token is scored by its best
/// text token; the best become the decoder's first boxes.
class Proposals {
 public:
  Proposals(const WeightLoader& loader, LoadJobs& jobs);
  Proposals(const Proposals&) = delete;
  Proposals& operator=(const Proposals&) = delete;

  /// Queries of a sample: num_queries, or every cell of a pyramid that has fewer.
  std::int64_t count(std::int64_t cells) const noexcept;

  /// boxes: fp32 [sum of counts, 4], (cx, cy, w, h) in [0, 1].
  void run(ops::Executor& executor, const SampleBatch& batch,
           std::span<const ops::Segment> query_segments, ops::Matrix boxes,
           const ModelSwitches& switches, const StageTap& tap) const;

 private:
  std::int64_t queries_;
  std::unique_ptr<const ops::LinearWeights> output_;
  ops::Norm norm_;
  std::unique_ptr<const PredictionHead> box_head_;
  ClassHead class_head_;
};

}  // namespace itemcrop::model
