#include "service/legacy/json.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "crop/base64.h"
#include "crop/json.h"

namespace itemcrop::service::legacy {
namespace {

using Json = nlohmann::ordered_json;
using crop::rounded;

/// The contract's seconds of what is measured in milliseconds. Its names are those of the backend
/// that it comes from.
Json times_json(const crop::Timing& timing, const double* list_seconds, double total_seconds) {
  const double download = timing.fetch / 1000;
  const double detect =
      (timing.queue + timing.preprocess + timing.model + timing.postprocess) / 1000;
  const double processing = (timing.decode + timing.encode) / 1000;
  const double upload = timing.store / 1000;
  const double list = list_seconds != nullptr ? *list_seconds : 0;
  const double overhead =
      std::max(0.0, total_seconds - download - list - detect - processing - upload);
  Json json = {{"download_seconds", rounded(download, 3)}};
  if (list_seconds != nullptr) json["gpt4o_seconds"] = rounded(list, 3);
  json["groundingdino_seconds"] = rounded(detect, 3);
  json["processing_seconds"] = rounded(processing, 3);
  json["upload_seconds"] = rounded(upload, 3);
  json["overhead_seconds"] = rounded(overhead, 3);
  json["total_seconds"] = rounded(total_seconds, 3);
  return json;
}

}  // namespace

std::string url_of(const crop::CropFile& crop) {
  if (!crop.url.empty()) return crop.url;
  return "data:" + crop.content_type + ";base64," + crop::base64(*crop.bytes);
}

Json crop_json(const crop::ImageResult& image, const Json& sent) {
  Json items = Json::array();
  for (const crop::FoundItem& item : image.items) {
    items.push_back({{"category", item.category},
                     {"prompt", item.prompt},
                     {"description", item.description},
                     {"confidence", rounded(item.detection.score, 6)},
                     {"box", crop::box_json(item.detection.box)},
                     {"url", url_of(*item.crop)}});
  }
  Json json = Json::object();
  if (items.empty()) {
    json["croppedImageUrl"] = sent;
    json["fallback"] = true;
  } else if (items.size() == 1) {
    json["croppedImageUrl"] = items.front()["url"];
  } else {
    for (const Json& item : items) json["croppedImageUrls"].push_back(item["url"]);
  }
  json["items"] = std::move(items);
  json["not_found"] = image.not_found;
  return json;
}

Json timing_json(const crop::Timing& timing, double total_seconds) {
  return times_json(timing, nullptr, total_seconds);
}

Json analysis_json(const Analysis& analysis, bool cached) {
  Json items = Json::array();
  for (const crop::FoundItem& item : analysis.image.items) {
    items.push_back({{"category", item.category},
                     {"groundingdino_prompt", item.prompt},
                     {"description", item.description},
                     {"croppedImageUrl", item.crop ? Json(item.crop->url) : Json(nullptr)},
                     {"confidence", rounded(item.detection.score, 6)}});
  }
  return {{"items", std::move(items)},
          {"cached", cached},
          {"timing",
           times_json(analysis.image.timing, &analysis.list_seconds, analysis.total_seconds)}};
}

}  // namespace itemcrop::service::legacy
