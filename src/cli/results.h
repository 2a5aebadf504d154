#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "itemcrop/model.h"

#include "crop/json.h"
#include "crop/result.h"
#include "image/decode.h"

namespace itemcrop::cli {

/// A run over photos; their ids are the names that the user typed, "-" for standard input.
struct RunResult {
  crop::ResultsHead head;
  DetectOptions detect;  ///< sizes that images are resized to
  image::AlphaMode alpha = image::AlphaMode::kFlatten;
  bool complete = false;                            ///< every photo was processed
  std::size_t photos = 0;                           ///< that were asked for
  std::size_t skipped = 0, skipped_subfolders = 0;  ///< as of PhotoList
  std::vector<crop::ImageResult> images;
};

/// docs/results.schema.json, indented, with a newline at the end. Bytes of file names that are not
/// UTF-8 become U+FFFD.
std::string to_json(const RunResult& result);

/// {"items", "categories", "settings"}: what was looked for and how.
nlohmann::ordered_json request_json(const RunResult& result);

/// How a run went, in photos and crops.
struct Totals {
  std::size_t crops = 0;
  std::size_t photos = 0;  ///< processed or failed
  std::size_t failed = 0;
  std::size_t empty = 0;  ///< processed, and nothing was found
};
Totals totals_of(const RunResult& result);

/// "335 crops of 204 photos (4 failed, 1 without an item)".
std::string totals_line(const RunResult& result);

/// "100 photos in 2 subfolders were skipped; --recursive includes them"; empty: none were.
std::string skipped_line(const RunResult& result);

}  // namespace itemcrop::cli
