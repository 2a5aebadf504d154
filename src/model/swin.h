#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "itemcrop/image.h"

#include "model/stage_tap.h"
#include "model/weight_loader.h"
#include "ops/executor.h"

namespace itemcrop::model {

/// An image and the size it is resized to, in pixels.
struct ImageInput {
  ImageView image;
  int height = 0;
  int width = 0;
};

/// Swin Transformer backbone (arXiv 2103.14030; modeling_swin.py).
class Swin {
 public:
  /// Called with each output stage's normalised features: its place among the outputs, the
  /// features [rows, width] of all images and where each image's map lies.
  using OutputCallback =
      std::function<void(int output, ops::Matrix features, std::span<const ops::Grid> grids)>;

  /// Adds the jobs that prepare the weights; they must finish before run().
  Swin(const WeightLoader& loader, LoadJobs& jobs);
  Swin(const Swin&) = delete;  // jobs refer to the members until they have run
  Swin& operator=(const Swin&) = delete;

  /// Resized, normalised pixels of all images in patches, and where each image's patches lie.
  struct Patches {
    ops::Matrix rows;
    std::vector<ops::Grid> grids;
  };
  Patches cut_patches(ops::Executor& executor, std::span<const ImageInput> images,
                      const StageTap& tap) const;

  void run(ops::Executor& executor, const Patches& patches, const StageTap& tap,
           const OutputCallback& on_output) const;

  /// Map sizes of every output stage for a resized image, finest first (begin is 0).
  std::vector<ops::Grid> output_grids(int height, int width) const;

 private:
  struct Block {
    ops::WindowAttentionWeights attention;
    int shift = 0;
    ops::Norm norm_after;
    ops::FeedForwardWeights feed_forward;
  };
  struct Stage {
    std::vector<Block> blocks;
    int heads = 0;
    int width = 0;
    std::optional<int> output;  ///< place among the output stages
    ops::Norm output_norm;
    std::optional<ops::Norm> merge_norm;
    std::unique_ptr<const ops::LinearWeights> merge;
  };

  io::SwinConfig config_;
  io::PreprocessConfig preprocess_;
  std::unique_ptr<const ops::LinearWeights> patch_projection_;
  ops::Norm patch_norm_;
  std::vector<Stage> stages_;
};

/// Grids after a stride-2 step: half the size, rounded up, laid end to end.
std::vector<ops::Grid> halved(std::span<const ops::Grid> grids);

}  // namespace itemcrop::model
