#include "cli/results.h"

#include <algorithm>
#include <set>
#include <string_view>

#include <nlohmann/json.hpp>

#include "crop/json.h"

namespace itemcrop::cli {

std::string to_json(const RunResult& result) {
  nlohmann::ordered_json json =
      crop::results_json(result.placement, result.images, crop::kFileStyle);
  json["hints"] = result.hints;
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

taxonomy::Findings findings_of(const RunResult& result) {
  taxonomy::Findings findings;
  for (const crop::ImageResult& photo : result.images) {
    if (photo.error) continue;
    std::set<std::string_view> found;
    for (const crop::FoundItem& item : photo.items) found.insert(item.detection.item);
    findings.found += found.size();
    findings.asked += found.size() + photo.not_found.size();
  }
  return findings;
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
