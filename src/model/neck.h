#pragma once

#include <memory>
#include <span>
#include <vector>

#include "model/stage_tap.h"
#include "model/swin.h"
#include "model/weight_loader.h"
#include "ops/executor.h"

namespace itemcrop::model {

/// Projects every backbone output to d_model and adds the coarser levels that the backbone does
/// not have (input_proj_vision of GroundingDinoModel): a 1x1 convolution and a group norm each, a
/// 3x3 stride-2 convolution for the extra levels.
class Neck {
 public:
  Neck(const WeightLoader& loader, LoadJobs& jobs);
  Neck(const Neck&) = delete;
  Neck& operator=(const Neck&) = delete;

  /// The level maps of one image, given its backbone outputs' sizes, from row `begin` on.
  ops::Pyramid pyramid(std::span<const ops::Grid> outputs, std::int64_t begin) const;

  /// Projects backbone output `output` of all images into its levels' rows of `vision`
  /// [rows, d_model]; the last output also fills the extra levels.
  void project(ops::Executor& executor, int output, ops::Matrix features,
               std::span<const ops::Grid> grids, std::span<const ops::Pyramid> pyramids,
               ops::Matrix vision, const StageTap& tap) const;

 private:
  struct Level {
    std::unique_ptr<const ops::LinearWeights> projection;
    ops::Norm norm;
  };

  void normalise(ops::Executor& executor, std::size_t level, ops::Matrix projected,
                 std::span<const ops::Grid> grids, std::span<const ops::Pyramid> pyramids,
                 ops::Matrix vision, const StageTap& tap) const;

  std::size_t outputs_;
  std::vector<Level> levels_;
};

}  // namespace itemcrop::model
