#pragma once

#include <memory>
#include <string>

#include "scheduler/model_registry.h"
#include "service/async.h"
#include "service/budgets.h"
#include "service/legacy/analysis.h"
#include "service/legacy/analysis_cache.h"
#include "service/pipeline.h"
#include "service/requests/settings.h"
#include "taxonomy/taxonomy.h"
#include "taxonomy/vlm_client.h"

namespace itemcrop::service::legacy {

/// POST /analyze: what is in a photo, by the taxonomy or by a vision-language model's list, found
/// in one pass, described, cropped and stored; kept for a while by the photo's content.
class Analyzer {
 public:
  struct Parts {
    const Settings& settings;
    Pipeline& pipeline;
    Budgets& budgets;
    Pools& pools;
    std::shared_ptr<const scheduler::ModelRegistry> registry;
    std::shared_ptr<const taxonomy::Catalog> taxonomies;
    taxonomy::Transport transport;  ///< used only if the settings name a vlm_url
  };

  explicit Analyzer(Parts parts);

  struct Answer {
    std::shared_ptr<const Analysis> analysis;
    bool cached = false;
    Lease lease;  ///< of what a response with it takes
  };
  /// Throws what went wrong with the photo or its turn.
  Awaitable<Answer> analyze(const ImageSource& source, const Caller& caller);

 private:
  Answer answer(std::shared_ptr<const Analysis> analysis, bool cached, const Caller& caller) const;
  Awaitable<Analysis> compute(std::shared_ptr<const crop::Bytes> bytes, const Caller& caller,
                              crop::Timing timing);
  /// The VLM's list if there is one, else everything that the taxonomy looks for.
  Awaitable<taxonomy::Plan> plan(const LoadedImage& image, const Caller& caller,
                                 Analysis& analysis);

  const taxonomy::Taxonomy& taxonomy() const;

  Parts parts_;
  std::unique_ptr<taxonomy::VlmClient> vlm_;
  AnalysisCache cache_;
};

}  // namespace itemcrop::service::legacy
