#pragma once

#include <string>
#include <vector>

#include "crop/result.h"

namespace itemcrop::cli {

/// A run over photos; their ids are the names that the user typed, "-" for standard input.
struct RunResult {
  crop::Placement placement;
  std::vector<crop::ImageResult> images;
};

/// docs/results.schema.json, indented, with a newline at the end. Bytes of file names that are not
/// UTF-8 become U+FFFD.
std::string to_json(const RunResult& result);

/// Crops of all photos.
std::size_t count_crops(const RunResult& result);

}  // namespace itemcrop::cli
