#include "crop/json.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <ctime>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "itemcrop/version.h"

#include "crop/base64.h"
#include "image/encode.h"

namespace itemcrop::crop {
namespace {

using Json = nlohmann::ordered_json;

Json crop_json(const CropFile& crop) {
  Json json = Json::object();
  if (!crop.url.empty()) {
    json["url"] = crop.url;
  } else if (crop.bytes) {
    json["base64"] = base64(*crop.bytes);
  } else {
    json["file"] = crop.name;
  }
  json["content_type"] = crop.content_type;
  json["width"] = crop.width;
  json["height"] = crop.height;
  return json;
}

Json item_json(const FoundItem& item) {
  const Detection& found = item.detection;
  Json scores = Json::object();
  for (const ItemScore& each : found.scores) scores[each.item] = rounded(each.score, 6);
  Json json = {{"item", found.item},
               {"prompt", item.prompt},
               {"score", rounded(found.score, 6)},
               {"box", box_json(found.box)},
               {"scores", std::move(scores)}};
  if (!item.category.empty()) json["category"] = item.category;
  if (!item.description.empty()) json["description"] = item.description;
  if (item.crop) json["crop"] = crop_json(*item.crop);
  return json;
}

Json timing_json(const Timing& timing) {
  return {{"fetch", rounded(timing.fetch, 2)},   {"decode", rounded(timing.decode, 2)},
          {"queue", rounded(timing.queue, 2)},   {"preprocess", rounded(timing.preprocess, 2)},
          {"model", rounded(timing.model, 2)},   {"postprocess", rounded(timing.postprocess, 2)},
          {"encode", rounded(timing.encode, 2)}, {"store", rounded(timing.store, 2)}};
}

Json or_null(const std::optional<float>& value) {
  return value ? Json(rounded(*value, 6)) : Json(nullptr);
}

}  // namespace

double rounded(double value, int decimals) {
  const double scale = std::pow(10.0, decimals);
  return std::round(value * scale) / scale;
}

Json box_json(const Box& box) {
  return {rounded(box.x0, 2), rounded(box.y0, 2), rounded(box.x1, 2), rounded(box.y1, 2)};
}

Json error_json(const Error& error) {
  Json json = {{"code", to_string(error.code())}, {"message", error.what()}};
  if (!error.field().empty()) json["field"] = error.field();
  return json;
}

Json image_json(const ImageResult& image) {
  const auto known = [](int size) { return size > 0 ? Json(size) : Json(nullptr); };
  Json json = {{"id", image.id},
               {"width", known(image.width)},
               {"height", known(image.height)},
               {"detections", Json::array()},
               {"not_found", image.not_found}};
  for (const FoundItem& item : image.items) json["detections"].push_back(item_json(item));
  if (image.preview) json["preview"] = crop_json(*image.preview);
  json["error"] = image.error ? error_json(*image.error) : Json(nullptr);
  json["timing_ms"] = timing_json(image.timing);
  return json;
}

Json request_json(const Request& request, bool crops) {
  Json items = Json::array();
  for (const Item& item : request.items) {
    Json one = {{"prompt", item.prompt}};
    if (item.threshold) one["threshold"] = rounded(*item.threshold, 6);
    if (item.count) one["count"] = *item.count;
    if (item.distractor) one["distractor"] = true;
    items.push_back(std::move(one));
  }
  const ScoringOptions& scoring = request.scoring;
  const bool tokens = scoring.labels == LabelMode::kTokens;
  Json settings = {
      {"threshold", or_null(request.threshold ? request.threshold : scoring.threshold)},
      {"count", scoring.count ? Json(*scoring.count) : Json(nullptr)},
      {"labels", tokens ? "tokens" : "items"}};
  if (tokens) settings["text_threshold"] = or_null(scoring.text_threshold);
  settings["nms"] = rounded(scoring.nms_iou, 6);
  settings["containment"] = rounded(scoring.containment, 6);
  settings["suppress"] = scoring.suppress;
  if (crops) {
    settings["margin"] = rounded(request.crop.margin, 6);
    settings["square"] = request.crop.square;
    settings["min_size"] = request.crop.min_size;
    settings["format"] = image::to_string(request.crop.format);
    settings["quality"] = request.crop.quality;
  }
  return {{"items", std::move(items)},
          {"categories", request.categories},
          {"settings", std::move(settings)}};
}

std::string rfc3339(std::chrono::system_clock::time_point time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, sizeof "-2147483648-12-31T23:59:60Z"> text{};
  const std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text.data(), length};
}

Json results_json(const ResultsHead& head, std::span<const ImageResult> images) {
  Json json = {{"version", ITEMCROP_VERSION},
               {"date", rfc3339(head.date)},
               {"model", head.placement.model},
               {"device", head.placement.device},
               {"precision", head.placement.precision}};
  json.update(request_json(head.request, head.crops));
  json["hints"] = head.hints;
  Json& list = json["images"] = Json::array();
  for (const ImageResult& image : images) list.push_back(image_json(image));
  return json;
}

const Placement& placement_of(std::span<const ImageResult> images) {
  const auto ran = std::find_if(images.begin(), images.end(), [](const ImageResult& image) {
    return image.placement.device != "auto";
  });
  return ran == images.end() ? images.front().placement : ran->placement;
}

}  // namespace itemcrop::crop
