#pragma once

#include <string>
#include <vector>

#include "crop/result.h"
#include "taxonomy/model_hint.h"

namespace itemcrop::cli {

/// A run over photos; their ids are the names that the user typed, "-" for standard input.
struct RunResult {
  crop::Placement placement;
  std::vector<crop::ImageResult> images;
  std::vector<std::string> hints = {};  ///< a line each, for the user
};

/// docs/results.schema.json, indented, with a newline at the end. Bytes of file names that are not
/// UTF-8 become U+FFFD.
std::string to_json(const RunResult& result);

/// Of all photos that were processed.
taxonomy::Findings findings_of(const RunResult& result);

/// Crops of all photos.
std::size_t count_crops(const RunResult& result);

}  // namespace itemcrop::cli
