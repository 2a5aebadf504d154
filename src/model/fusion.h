#pragma once

#include <memory>
#include <span>
#include <vector>

#include "model/weight_loader.h"
#include "ops/executor.h"

namespace itemcrop::model {

/// Attention both ways between an image's tokens and its text (GroundingDinoFusionLayer, after
/// GLIP): vision = LN(vision) + gamma_v * attend(text), text = LN(text) + gamma_t * attend(vision),
/// both from one score matrix.
///
/// The plain form projects every vision token to the fusion width twice. The folded form moves
/// those projections to the text side, exact but for rounding: x W_q k^T = x (k W_q)^T,
/// P (v W_o) = (P v) W_o, and (P^T x) W_v = P^T (x W_v).
class Fusion {
 public:
  Fusion(const WeightLoader& loader, int layer, LoadJobs& jobs);
  Fusion(const Fusion&) = delete;
  Fusion& operator=(const Fusion&) = delete;

  /// In place on vision [rows, d] and text (fp32 [tokens, d]). `fold` allows the folded form,
  /// which is taken where it needs fewer operations.
  void run(ops::Executor& executor, ops::Matrix vision,
           std::span<const ops::Segment> vision_segments, ops::Matrix text,
           std::span<const ops::Segment> text_segments, bool fold) const;

 private:
  bool folding_pays(std::int64_t longest_text) const noexcept;
  void run_folded(ops::Executor& executor, ops::Matrix vision,
                  std::span<const ops::Segment> vision_segments, ops::Matrix text,
                  std::span<const ops::Segment> text_segments) const;
  void run_plain(ops::Executor& executor, ops::Matrix vision,
                 std::span<const ops::Segment> vision_segments, ops::Matrix text,
                 std::span<const ops::Segment> text_segments) const;

  int heads_;
  std::int64_t width_;  ///< d_model
  std::int64_t embed_;  ///< fusion width, heads * head_dim
  std::int64_t head_dim_;
  ops::Norm vision_norm_;
  ops::Norm text_norm_;
  std::unique_ptr<const ops::Constant> vision_gamma_;
  std::unique_ptr<const ops::Constant> text_gamma_;
  std::unique_ptr<const ops::LinearWeights> text_key_;     ///< d -> embed
  std::unique_ptr<const ops::LinearWeights> text_value_;   ///< d -> embed
  std::unique_ptr<const ops::LinearWeights> text_output_;  ///< embed -> d
  // Plain form.
  std::unique_ptr<const ops::LinearWeights> vision_query_;   ///< d -> embed
  std::unique_ptr<const ops::LinearWeights> vision_value_;   ///< d -> embed
  std::unique_ptr<const ops::LinearWeights> vision_output_;  ///< embed -> d
  // Folded form, one a head.
  struct FoldedHead {
    std::unique_ptr<const ops::LinearWeights> key;    ///< head_dim -> d: W_q^T, scaled
    std::unique_ptr<const ops::Constant> key_bias;    ///< [1, head_dim]: b_q, scaled
    std::unique_ptr<const ops::LinearWeights> value;  ///< head_dim -> d: W_o's columns of the head
    std::unique_ptr<const ops::LinearWeights> context;  ///< d -> head_dim: W_v's rows of the head
  };
  std::vector<FoldedHead> folded_;
  std::unique_ptr<const ops::Constant> output_bias_;  ///< [1, d]: b_o
};

}  // namespace itemcrop::model
