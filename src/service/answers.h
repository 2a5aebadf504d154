#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "service/cutter.h"

namespace itemcrop::service {

/// One picture as openapi.json's DetectImage or CropImage has it. `in_zip`: crops are named by
/// their file in the archive.
nlohmann::ordered_json image_json(const CutImage& image, bool in_zip = false);

/// {"request_id", "model", "device", "precision", "images", "timing_ms"}.
nlohmann::ordered_json cut_answer_json(const std::vector<CutImage>& images,
                                       const std::string& request_id, double total_ms,
                                       bool in_zip = false);

/// A zip archive of every crop, one folder a picture where there are several, and results.json.
/// Throws Error(kInternal).
std::vector<std::byte> zip_answer(std::vector<CutImage> images, const std::string& request_id,
                                  double total_ms);

}  // namespace itemcrop::service
