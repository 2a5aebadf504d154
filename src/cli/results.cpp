#include "cli/results.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "crop/json.h"

namespace itemcrop::cli {

std::string to_json(const RunResult& result) {
  return crop::results_json(result.placement, result.images, crop::kFileStyle)
             .dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) +
         "\n";
}

std::size_t count_crops(const RunResult& result) {
  std::size_t crops = 0;
  for (const crop::ImageResult& photo : result.images) {
    crops += static_cast<std::size_t>(
        std::count_if(photo.items.begin(), photo.items.end(),
                      [](const crop::FoundItem& item) { return item.crop.has_value(); }));
  }
  return crops;
}

}  // namespace itemcrop::cli
