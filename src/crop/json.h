#pragma once

#include <chrono>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "itemcrop/error.h"
#include "itemcrop/image.h"

#include "crop/request.h"
#include "crop/result.h"

namespace itemcrop::crop {

/// What a document of results says beside its images.
struct ResultsHead {
  std::chrono::system_clock::time_point date = std::chrono::system_clock::now();
  Placement placement = {};
  /// Items, categories and settings. A threshold that is not given is the model's and written as
  /// null; whoever knows it fills it in.
  Request request = {};
  bool crops = false;                   ///< crops were asked for: settings say how they are made
  std::vector<std::string> hints = {};  ///< lines for the user
};

/// Rounded to so many decimals. Floats carry about seven digits; the rest of a double would only
/// pretend precision.
double rounded(double value, int decimals);

/// [x0, y0, x1, y1] with two decimals.
nlohmann::ordered_json box_json(const Box& box);

/// {"code", "message", "field"?}
nlohmann::ordered_json error_json(const Error& error);

/// What every interface says of one image. Scores have 6 decimals, boxes and times 2. A crop is
/// given by its URL, else by its bytes as base64, else by its name.
nlohmann::ordered_json image_json(const ImageResult& image);

/// The document of results of every interface: {"version", "date", "model", "device", "precision",
/// "items", "categories", "settings", "hints", "images"}.
nlohmann::ordered_json results_json(const ResultsHead& head, std::span<const ImageResult> images);

/// {"items", "categories", "settings"}: what was looked for and how, in the fields of a request.
nlohmann::ordered_json request_json(const Request& request, bool crops);

/// "2026-11-30T15:04:05Z": a point in time, in UTC, as RFC 3339 writes it.
std::string rfc3339(std::chrono::system_clock::time_point time);

/// What ran: of the first image that was run, else of the first. Images must not be empty.
const Placement& placement_of(std::span<const ImageResult> images);

}  // namespace itemcrop::crop
