#pragma once

#include <cstddef>
#include <string>

#include "crop/result.h"

namespace itemcrop::service::legacy {

/// The result of POST /analyze, as cached: every crop has a URL, where nothing is stored a data
/// URL.
struct Analysis {
  crop::ImageResult image;
  std::string source = "taxonomy";  ///< who listed the items: "taxonomy" or "vlm"
  std::string fallback_reason;      ///< why not the VLM, where one is set up
  double list_seconds = 0;          ///< the VLM; 0 where the taxonomy was used
  double total_seconds = 0;         ///< of the run that made it

  /// Memory it holds, for AnalysisCache.
  std::size_t bytes() const noexcept;
};

}  // namespace itemcrop::service::legacy
