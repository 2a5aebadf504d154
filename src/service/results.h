#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "crop/json.h"
#include "crop/result.h"

namespace itemcrop::service {

/// What the results of a request say of it, beside its images.
struct ResponseHead {
  std::string request_id;
  double total_ms = 0;
  crop::ResultsHead results;  ///< `placement` is taken from the images
};

/// {"request_id", what crop::results_json writes, "timing_ms"}: openapi.json, DetectResponse and
/// CropResponse. Images must not be empty.
nlohmann::ordered_json results_json(const ResponseHead& head,
                                    std::span<const crop::ImageResult> images);

/// The same as text. Throws Error(kCancelled).
std::string results_text(const ResponseHead& head, std::vector<crop::ImageResult> images,
                         const std::stop_token& stop);

/// A zip archive of every crop, one folder an image where there are several, and results.json.
/// Throws Error(kInternal, kCancelled).
std::vector<std::byte> results_zip(const ResponseHead& head, std::vector<crop::ImageResult> images,
                                   const std::stop_token& stop);

/// Memory that results take while they become text or an archive, themselves included, roughly from
/// above.
std::int64_t response_bytes(std::span<const crop::ImageResult> images);

}  // namespace itemcrop::service
