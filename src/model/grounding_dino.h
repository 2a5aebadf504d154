#pragma once

#include <memory>
#include <span>
#include <vector>

#include "io/weights.h"
#include "model/bert.h"
#include "model/decoder.h"
#include "model/encoder.h"
#include "model/neck.h"
#include "model/proposals.h"
#include "model/stage_tap.h"
#include "model/swin.h"
#include "ops/backend.h"

namespace itemcrop::model {

/// What the model says about one sample.
struct SampleOutput {
  std::int64_t queries = 0;
  std::int64_t tokens = 0;
  std::vector<float> logits;  ///< [queries, tokens]
  std::vector<float> boxes;   ///< [queries, 4]: centre x, centre y, width, height; 0..1
};

/// Whether detect() may write over the image features that it reads.
enum class VisionUse { kKeep, kLast };

/// Grounding DINO (arXiv 2303.05499; GroundingDinoForObjectDetection) with its weights prepared
/// for one backend. Const and safe to share between threads; executors are not.
class GroundingDino {
 public:
  /// Prepares every weight on `threads` threads. Throws Error.
  GroundingDino(const io::Weights& weights, const ops::Backend& backend, int threads);
  GroundingDino(const GroundingDino&) = delete;
  GroundingDino& operator=(const GroundingDino&) = delete;

  std::int64_t width() const noexcept { return width_; }

  /// Text features of prompts, [tokens, width()], to `features` in host memory. They depend on
  /// the prompt alone, so callers may keep them.
  void encode_text(ops::Executor& executor, const TextInput& text, float* features,
                   const StageTap& tap) const;

  Swin::Patches cut_patches(ops::Executor& executor, std::span<const ImageInput> images,
                            const StageTap& tap) const {
    return swin_.cut_patches(executor, images, tap);
  }

  /// Level maps of every image, laid end to end.
  std::vector<ops::Pyramid> pyramids(std::span<const ImageInput> images) const;

  /// Image features of every image into `vision` [rows of the pyramids, width()].
  void encode_images(ops::Executor& executor, const Swin::Patches& patches,
                     std::span<const ops::Pyramid> pyramids, ops::Matrix vision,
                     const StageTap& tap) const;

  /// Encoder, query selection and decoder. Sample i is image `images[i]` with segment i of
  /// `text`, whose features are rows of `text_features` in host memory.
  std::vector<SampleOutput> detect(ops::Executor& executor, ops::Matrix vision,
                                   std::span<const ops::Pyramid> pyramids, VisionUse vision_use,
                                   std::span<const int> images, const TextInput& text,
                                   const float* text_features, const ModelSwitches& switches,
                                   const StageTap& tap) const;

 private:
  GroundingDino(const WeightLoader& loader, int threads, LoadJobs jobs);

  std::int64_t width_;
  Swin swin_;
  Neck neck_;
  Bert bert_;
  Encoder encoder_;
  Proposals proposals_;
  Decoder decoder_;
};

}  // namespace itemcrop::model
