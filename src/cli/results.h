#pragma once

#include <optional>
#include <string>
#include <vector>

#include "itemcrop/error.h"
#include "itemcrop/model.h"

namespace itemcrop::cli {

/// Why a photo has no answer.
struct Failure {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
};

/// What --categories add to a detection.
struct CategoryNote {
  std::string category;     ///< "tops"
  std::string description;  ///< "navy blazer"
};

/// Everything known about one photo after its turn.
struct PhotoResult {
  std::string file;  ///< as the user named it; "-" for standard input
  int width = 0;     ///< upright, in pixels; 0: never decoded
  int height = 0;
  std::vector<Detection> detections;   ///< best first
  std::vector<CategoryNote> notes;     ///< one a detection, same order; empty: no --categories
  std::vector<std::string> not_found;  ///< items or categories without a detection
  std::vector<std::string> crops;  ///< paths beneath the output folder, one a detection, same order
  std::string annotated;           ///< the same, of the annotated picture; empty: none
  std::optional<Failure> error;
  DetectTiming timing;
  double decode_ms = 0;
  double encode_ms = 0;  ///< cutting, encoding and writing
};

struct RunResult {
  std::string model;
  std::string device;     ///< what ran; what was asked for if nothing ran
  std::string precision;  ///< the same
  std::vector<PhotoResult> images;
};

/// docs/results.schema.json, indented, with a newline at the end. Scores have 6 decimals, boxes and
/// times 2. Bytes of file names that are not UTF-8 become U+FFFD.
std::string to_json(const RunResult& result);

}  // namespace itemcrop::cli
