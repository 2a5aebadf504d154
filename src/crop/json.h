#pragma once

#include <span>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "itemcrop/error.h"
#include "itemcrop/image.h"

#include "crop/result.h"

namespace itemcrop::crop {

/// The two documents of results differ in this and in nothing else.
struct JsonStyle {
  /// One member of "timing_ms".
  struct Time {
    std::string_view name;
    double Timing::*milliseconds;
  };

  std::string_view id;       ///< the key of ImageResult::id
  bool prompt_as_item;       ///< "item" is the prompt, not the caller's word
  bool describes_own_items;  ///< items outside of categories have a "description" too
  bool crops_as_paths;       ///< "crops": [paths] an image, not "crop": {...} an item
  bool error_fields;         ///< an error has its "field"
  std::span<const Time> times;
};

/// HTTP: openapi.json, DetectImage and CropImage.
extern const JsonStyle kServiceStyle;
/// Files of the command line: docs/results.schema.json.
extern const JsonStyle kFileStyle;

/// Rounded to so many decimals. Floats carry about seven digits; the rest of a double would only
/// pretend precision.
double rounded(double value, int decimals);

/// [x0, y0, x1, y1] with two decimals.
nlohmann::ordered_json box_json(const Box& box);

/// {"code", "message", "field"?}
nlohmann::ordered_json error_json(const Error& error);

/// One image. Scores have 6 decimals, boxes and times 2. A crop is given by its URL, else by its
/// bytes as base64, else by its name.
nlohmann::ordered_json image_json(const ImageResult& image, const JsonStyle& style);

/// {"model", "device", "precision", "images"}
nlohmann::ordered_json results_json(const Placement& placement, std::span<const ImageResult> images,
                                    const JsonStyle& style);

/// What ran: of the first image that was run, else of the first. Images must not be empty.
const Placement& placement_of(std::span<const ImageResult> images);

}  // namespace itemcrop::crop
