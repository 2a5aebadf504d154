#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "itemcrop/model.h"

#include "engine/arena_sizes.h"
#include "engine/devices.h"
#include "engine/executor_pool.h"
#include "engine/request_groups.h"
#include "engine/text_cache.h"
#include "io/weights.h"
#include "model/grounding_dino.h"
#include "text/tokenizer.h"

namespace itemcrop::engine {

/// One pass of one request as the model computes it, before items are scored.
struct RawPass {
  text::PromptPass prompt;
  model::SampleOutput output;
};

/// The implementation of itemcrop::Model: a checkpoint, its tokenizer, and its weights prepared
/// for each device and precision that calls have asked for.
class Engine final : public Model {
 public:
  /// Throws Error(kCorruptModel) if the parts disagree.
  Engine(std::string name, std::shared_ptr<const io::Weights> weights, text::Tokenizer tokenizer);

  const ModelInfo& info() const noexcept override { return info_; }
  DetectReport detect(std::span<const DetectRequest> requests,
                      const DetectOptions& options) const override;
  void prepare(const DetectOptions& options) const override;
  MemoryEstimate estimate(std::span<const DetectRequest> requests,
                          const DetectOptions& options) const override;
  int count_passes(std::span<const Item> items, const DetectOptions& options) const override;

  /// Logits and boxes of every pass of every request: what parity is measured on. `tap` sees every
  /// stage; its sample indices count within one run of the model, so give it one request a call
  /// or requests small enough to share a run. `switches` are for comparisons.
  std::vector<std::vector<RawPass>> detect_raw(std::span<const DetectRequest> requests,
                                               const DetectOptions& options,
                                               const model::StageTap& tap,
                                               const model::ModelSwitches& switches = {}) const;

  const text::Tokenizer& tokenizer() const noexcept { return tokenizer_; }

 private:
  /// Weights prepared for one backend, and what its calls share.
  struct Prepared {
    Prepared(const io::Weights& weights, std::shared_ptr<const ops::Backend> on, int threads);

    std::shared_ptr<const ops::Backend> backend;
    model::GroundingDino model;
    mutable TextCache text_cache;
    mutable ExecutorPool executors;
    mutable ArenaSizes arena_sizes;
  };
  struct Slot {
    std::once_flag once;
    std::unique_ptr<const Prepared> prepared;
  };
  struct Call;  ///< what one call is to compute and has computed so far

  const Prepared& prepared(const BackendSpec& spec, int threads) const;
  std::vector<text::PromptPass> build_passes(std::span<const Item> items,
                                             const DetectOptions& options) const;
  Call resolve(std::span<const DetectRequest> requests, const DetectOptions& options) const;
  void encode_text(Call& call, const model::StageTap& tap) const;
  void run(Call& call, const model::StageTap& tap) const;
  DetectResult finish(const DetectRequest& request, const Call& call, std::size_t index) const;

  std::shared_ptr<const io::Weights> weights_;
  text::Tokenizer tokenizer_;
  ModelInfo info_;
  mutable std::mutex slots_mutex_;
  mutable std::map<BackendSpec, std::unique_ptr<Slot>> slots_;
};

}  // namespace itemcrop::engine
