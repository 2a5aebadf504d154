#include "cli/results.h"

#include <cmath>

#include <nlohmann/json.hpp>

namespace itemcrop::cli {
namespace {

using Json = nlohmann::ordered_json;

/// Floats carry about seven digits; printing the rest of a double would only pretend precision.
double rounded(double value, int decimals) {
  const double scale = std::pow(10.0, decimals);
  return std::round(value * scale) / scale;
}

Json detection_json(const Detection& detection) {
  Json scores = Json::object();
  for (const ItemScore& item : detection.scores) scores[item.item] = rounded(item.score, 6);
  const Box& box = detection.box;
  return {{"item", detection.item},
          {"score", rounded(detection.score, 6)},
          {"box", {rounded(box.x0, 2), rounded(box.y0, 2), rounded(box.x1, 2), rounded(box.y1, 2)}},
          {"scores", std::move(scores)}};
}

Json photo_json(const PhotoResult& photo) {
  const auto known = [](int size) { return size > 0 ? Json(size) : Json(nullptr); };
  Json detections = Json::array();
  for (const Detection& detection : photo.detections) {
    detections.push_back(detection_json(detection));
  }
  for (std::size_t i = 0; i < photo.notes.size(); ++i) {
    detections[i]["category"] = photo.notes[i].category;
    detections[i]["description"] = photo.notes[i].description;
  }
  Json error = nullptr;
  if (photo.error) {
    error = {{"code", to_string(photo.error->code)}, {"message", photo.error->message}};
  }
  return {{"file", photo.file},
          {"width", known(photo.width)},
          {"height", known(photo.height)},
          {"detections", std::move(detections)},
          {"not_found", photo.not_found},
          {"crops", photo.crops},
          {"error", std::move(error)},
          {"timing_ms",
           {{"decode", rounded(photo.decode_ms, 2)},
            {"preprocess", rounded(photo.timing.preprocess, 2)},
            {"model", rounded(photo.timing.model, 2)},
            {"postprocess", rounded(photo.timing.postprocess, 2)},
            {"encode", rounded(photo.encode_ms, 2)}}}};
}

}  // namespace

std::string to_json(const RunResult& result) {
  Json images = Json::array();
  for (const PhotoResult& photo : result.images) images.push_back(photo_json(photo));
  const Json json = {{"model", result.model},
                     {"device", result.device},
                     {"precision", result.precision},
                     {"images", std::move(images)}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace itemcrop::cli
