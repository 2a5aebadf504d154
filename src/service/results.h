#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "crop/result.h"

namespace itemcrop::service {

/// {"request_id", "model", "device", "precision", "images", "timing_ms"}: openapi.json,
/// DetectResponse and CropResponse. Images must not be empty.
nlohmann::ordered_json results_json(std::span<const crop::ImageResult> images,
                                    const std::string& request_id, double total_ms);

/// The same as text. Throws Error(kCancelled).
std::string results_text(std::vector<crop::ImageResult> images, const std::string& request_id,
                         double total_ms, const std::stop_token& stop);

/// A zip archive of every crop, one folder an image where there are several, and results.json.
/// Throws Error(kInternal, kCancelled).
std::vector<std::byte> results_zip(std::vector<crop::ImageResult> images,
                                   const std::string& request_id, double total_ms,
                                   const std::stop_token& stop);

/// Memory that results take while they become text or an archive, themselves included, roughly from
/// above.
std::int64_t response_bytes(std::span<const crop::ImageResult> images);

}  // namespace itemcrop::service
