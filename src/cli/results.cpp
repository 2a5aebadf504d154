#include "cli/results.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "cli/words.h"

namespace itemcrop::cli {
namespace {

using Json = nlohmann::ordered_json;

}  // namespace

nlohmann::ordered_json request_json(const RunResult& result) {
  Json json = crop::request_json(result.head.request, result.head.crops);
  json["settings"]["shortest_edge"] = result.detect.shortest_edge;
  json["settings"]["longest_edge"] = result.detect.longest_edge;
  json["settings"]["alpha"] = result.alpha == image::AlphaMode::kDrop ? "drop" : "flatten";
  return json;
}

std::string to_json(const RunResult& result) {
  Json json = crop::results_json(result.head, {});
  json.update(request_json(result));
  json.erase("images");
  json["complete"] = result.complete;
  Json& images = json["images"] = Json::array();
  for (const crop::ImageResult& photo : result.images) {
    Json image = crop::image_json(photo);
    // Of the last release; to be left out after the next one.
    image["file"] = photo.id;
    image["crops"] = Json::array();
    for (const crop::FoundItem& item : photo.items) {
      if (item.crop) image["crops"].push_back(item.crop->name);
    }
    images.push_back(std::move(image));
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Totals totals_of(const RunResult& result) {
  Totals totals;
  totals.photos = result.images.size();
  for (const crop::ImageResult& photo : result.images) {
    if (photo.error) {
      ++totals.failed;
    } else if (photo.items.empty()) {
      ++totals.empty;
    }
    totals.crops += static_cast<std::size_t>(
        std::count_if(photo.items.begin(), photo.items.end(),
                      [](const crop::FoundItem& item) { return item.crop.has_value(); }));
  }
  return totals;
}

std::string totals_line(const RunResult& result) {
  const Totals totals = totals_of(result);
  std::vector<std::string> apart;
  if (totals.failed > 0) apart.push_back(std::to_string(totals.failed) + " failed");
  if (totals.empty > 0) apart.push_back(std::to_string(totals.empty) + " without an item");
  const std::string line = counted(totals.crops, "crop") + " of " + counted(totals.photos, "photo");
  return apart.empty() ? line : line + " (" + join(apart) + ")";
}

std::string skipped_line(const RunResult& result) {
  if (result.skipped == 0) return {};
  return counted(result.skipped, "photo") + " in " +
         counted(result.skipped_subfolders, "subfolder") +
         (result.skipped == 1 ? " was" : " were") + " skipped; --recursive includes " +
         (result.skipped == 1 ? "it" : "them");
}

}  // namespace itemcrop::cli
