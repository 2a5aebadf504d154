#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "crop/result.h"
#include "service/legacy/analysis.h"

namespace itemcrop::service::legacy {

/// A crop's URL, or its bytes as a data URL.
std::string url_of(const crop::CropFile& crop);

/// POST /crop: {"croppedImageUrl" or "croppedImageUrls"} as the contract has it; `sent` is the URL
/// that came with the request, or null. "fallback", "items": [{category, prompt, description,
/// confidence, box, url}] and "not_found" are additions.
nlohmann::ordered_json crop_json(const crop::ImageResult& image,
                                 const nlohmann::ordered_json& sent);

/// {download_seconds, groundingdino_seconds, processing_seconds, upload_seconds, overhead_seconds,
/// total_seconds}, with 3 decimals.
nlohmann::ordered_json timing_json(const crop::Timing& timing, double total_seconds);

/// {"items":[{category, groundingdino_prompt, description, croppedImageUrl, confidence}], "cached",
/// "timing"}: the contract of POST /analyze and nothing else; "timing" has gpt4o_seconds too,
/// whoever listed. Numbers have 6 (confidence) and 3 decimals. The caller adds its own fields.
nlohmann::ordered_json analysis_json(const Analysis& analysis, bool cached);

}  // namespace itemcrop::service::legacy
