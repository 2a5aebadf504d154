#include "crop/json.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "crop/base64.h"

namespace itemcrop::crop {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<JsonStyle::Time, 8> kServiceTimes = {{{"fetch", &Timing::fetch},
                                                           {"decode", &Timing::decode},
                                                           {"queue", &Timing::queue},
                                                           {"preprocess", &Timing::preprocess},
                                                           {"model", &Timing::model},
                                                           {"postprocess", &Timing::postprocess},
                                                           {"encode", &Timing::encode},
                                                           {"store", &Timing::store}}};
constexpr std::array<JsonStyle::Time, 5> kFileTimes = {{{"decode", &Timing::decode},
                                                        {"preprocess", &Timing::preprocess},
                                                        {"model", &Timing::model},
                                                        {"postprocess", &Timing::postprocess},
                                                        {"encode", &Timing::encode}}};

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

Json item_json(const FoundItem& item, const JsonStyle& style) {
  const Detection& found = item.detection;
  Json scores = Json::object();
  for (const ItemScore& each : found.scores) scores[each.item] = rounded(each.score, 6);
  Json json = {{"item", style.prompt_as_item ? item.prompt : found.item},
               {"score", rounded(found.score, 6)},
               {"box", box_json(found.box)},
               {"scores", std::move(scores)}};
  if (!item.category.empty()) json["category"] = item.category;
  const bool describes = style.describes_own_items || !item.category.empty();
  if (describes && !item.description.empty()) json["description"] = item.description;
  if (item.crop && !style.crops_as_paths) json["crop"] = crop_json(*item.crop);
  return json;
}

Json paths_json(const ImageResult& image) {
  Json paths = Json::array();
  for (const FoundItem& item : image.items) {
    if (item.crop) paths.push_back(item.crop->name);
  }
  return paths;
}

}  // namespace

const JsonStyle kServiceStyle = {.id = "id",
                                 .prompt_as_item = false,
                                 .describes_own_items = true,
                                 .crops_as_paths = false,
                                 .error_fields = true,
                                 .times = kServiceTimes};
const JsonStyle kFileStyle = {.id = "file",
                              .prompt_as_item = true,
                              .describes_own_items = false,
                              .crops_as_paths = true,
                              .error_fields = false,
                              .times = kFileTimes};

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

Json image_json(const ImageResult& image, const JsonStyle& style) {
  const auto known = [](int size) { return size > 0 ? Json(size) : Json(nullptr); };
  Json json = {{std::string(style.id), image.id},
               {"width", known(image.width)},
               {"height", known(image.height)},
               {"detections", Json::array()},
               {"not_found", image.not_found}};
  for (const FoundItem& item : image.items) json["detections"].push_back(item_json(item, style));
  if (style.crops_as_paths) json["crops"] = paths_json(image);
  json["error"] = image.error ? error_json(*image.error) : Json(nullptr);
  if (image.error && !style.error_fields) json["error"].erase("field");
  Json& times = json["timing_ms"] = Json::object();
  for (const JsonStyle::Time& time : style.times) {
    times[std::string(time.name)] = rounded(image.timing.*time.milliseconds, 2);
  }
  return json;
}

Json results_json(const Placement& placement, std::span<const ImageResult> images,
                  const JsonStyle& style) {
  Json list = Json::array();
  for (const ImageResult& image : images) list.push_back(image_json(image, style));
  return {{"model", placement.model},
          {"device", placement.device},
          {"precision", placement.precision},
          {"images", std::move(list)}};
}

const Placement& placement_of(std::span<const ImageResult> images) {
  const auto ran = std::find_if(images.begin(), images.end(), [](const ImageResult& image) {
    return image.placement.device != "auto";
  });
  return ran == images.end() ? images.front().placement : ran->placement;
}

}  // namespace itemcrop::crop
