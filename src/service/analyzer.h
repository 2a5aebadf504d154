#pragma once

#include <memory>
#include <string>

#include "service/async.h"
#include "service/cutter.h"
#include "taxonomy/analysis_cache.h"
#include "taxonomy/vlm_client.h"

namespace itemcrop::service {

/// POST /analyze: what is in a photo, by the taxonomy or by a vision-language model's list, found
/// in one pass, described, cut and stored; kept for a while by the photo's content.
class Analyzer {
 public:
  /// `transport` is used only if the settings name a vlm_url.
  Analyzer(Cutter& cutter, taxonomy::Transport transport);

  struct Answer {
    std::shared_ptr<const taxonomy::AnalysisResult> result;
    bool cached = false;
  };
  /// Throws what went wrong with the photo or its turn.
  Awaitable<Answer> analyze(const ImageSource& source, const Caller& caller);

 private:
  Awaitable<taxonomy::AnalysisResult> compute(std::shared_ptr<const Bytes> bytes,
                                              const Caller& caller, CutTiming timing);

  Cutter& cutter_;
  std::unique_ptr<taxonomy::VlmClient> vlm_;
  taxonomy::AnalysisCache cache_;
};

}  // namespace itemcrop::service
