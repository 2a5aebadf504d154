#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "itemcrop/image.h"

#include "taxonomy/plan.h"

namespace itemcrop::taxonomy {

/// One item of POST /analyze.
struct AnalysisItem {
  std::string category;     ///< "tops"
  std::string prompt;       ///< JSON: groundingdino_prompt
  std::string description;  ///< "navy blazer"
  std::string url;          ///< JSON: croppedImageUrl; empty: null
  float confidence = 0;     ///< in [0, 1]
  Box box;                  ///< pixels of the photo; not part of the old JSON
};

/// Wall-clock seconds. Names are the old contract's; `list` is JSON gpt4o_seconds, whoever listed.
struct AnalysisTiming {
  double download = 0;    ///< fetching the photo
  double list = 0;        ///< the VLM; 0 where the taxonomy was used
  double detect = 0;      ///< JSON: groundingdino_seconds
  double processing = 0;  ///< decoding, cutting, encoding, describing
  double upload = 0;      ///< storing the crops
  double total = 0;

  /// total - (all the others), never negative.
  double overhead() const noexcept;
};

/// The answer of POST /analyze, as cached.
struct AnalysisResult {
  std::vector<AnalysisItem> items;
  std::vector<std::string> not_found;  ///< listed by the VLM, not found in the photo
  std::string source = "taxonomy";     ///< who listed the items: "taxonomy" or "vlm"
  std::string fallback_reason;         ///< why not the VLM, where one is set up
  AnalysisTiming timing;               ///< of the run that made it

  /// Memory it holds, for AnalysisCache.
  std::size_t bytes() const noexcept;
};

/// Items without URLs, in the selection's order.
std::vector<AnalysisItem> analysis_items(const Selection& selection);

/// {"items":[{category, groundingdino_prompt, description, croppedImageUrl, confidence}], "cached",
/// "timing":{download_seconds, gpt4o_seconds, groundingdino_seconds, processing_seconds,
/// upload_seconds, overhead_seconds, total_seconds}}: the old contract and nothing else. Numbers
/// have 6 (confidence) and 3 decimals. The caller adds its own fields to the object.
nlohmann::ordered_json to_legacy_json(const AnalysisResult& result, bool cached);

}  // namespace itemcrop::taxonomy
