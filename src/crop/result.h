#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "itemcrop/error.h"
#include "itemcrop/items.h"

namespace itemcrop::crop {

using Bytes = std::vector<std::byte>;

/// A crop as an image file.
struct CropFile {
  std::string name;  ///< file name, or path under the folder of the results
  std::string url;   ///< where it can be had; empty: nowhere
  std::string content_type;
  std::shared_ptr<const Bytes> bytes;  ///< null once it was written or stored
  int width = 0, height = 0;           ///< pixels
};

/// One item found in an image.
struct FoundItem {
  Detection detection;      ///< `item`: the caller's word for it
  std::string category;     ///< empty: not asked for by category
  std::string prompt;       ///< the words that the model read
  std::string description;  ///< "navy blazer"; empty: none was made
  std::optional<CropFile> crop;
};

/// Wall-clock milliseconds of one image.
struct Timing {
  double fetch = 0, decode = 0, queue = 0, preprocess = 0, model = 0, postprocess = 0, encode = 0,
         store = 0;
};

/// What a detection ran on; what was asked for where nothing ran.
struct Placement {
  std::string model;
  std::string device = "auto";
  std::string precision = "auto";
};

/// Everything known about one image after it was processed.
struct ImageResult {
  std::string id;             ///< the caller's name for it: an id, a path
  int width = 0, height = 0;  ///< upright, in pixels; 0: never decoded
  std::vector<FoundItem> items;
  std::vector<std::string> not_found;  ///< words without a detection
  std::optional<CropFile> preview;     ///< the whole image, made smaller; none: not asked for
  std::string annotated;               ///< path of a copy with boxes; empty: none was written
  std::optional<Error> error;
  Timing timing;
  Placement placement;
};

}  // namespace itemcrop::crop
