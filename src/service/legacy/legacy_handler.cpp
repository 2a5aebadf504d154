#include "service/legacy/legacy_handler.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "crop/base64.h"
#include "service/requests/json_answer.h"

namespace itemcrop::service {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string url_of(const CropFile& crop) {
  if (!crop.url.empty()) return crop.url;
  return "data:" + crop.content_type + ";base64," + crop::base64(*crop.bytes);
}

Json legacy_items(const CutImage& image) {
  Json items = Json::array();
  for (const CutItem& item : image.items) {
    const Box& box = item.detection.box;
    items.push_back(
        {{"category", item.category},
         {"prompt", item.prompt},
         {"description", item.description},
         {"confidence", rounded(item.detection.score, 6)},
         {"box", {rounded(box.x0, 2), rounded(box.y0, 2), rounded(box.x1, 2), rounded(box.y1, 2)}},
         {"url", url_of(*item.crop)}});
  }
  return items;
}

Json legacy_timing(const CutTiming& timing, double total) {
  const double download = timing.fetch / 1000;
  const double detect =
      (timing.queue + timing.preprocess + timing.model + timing.postprocess) / 1000;
  const double processing = (timing.decode + timing.encode) / 1000;
  const double upload = timing.store / 1000;
  const double overhead = std::max(0.0, total - download - detect - processing - upload);
  return {
      {"download_seconds", rounded(download, 3)},     {"groundingdino_seconds", rounded(detect, 3)},
      {"processing_seconds", rounded(processing, 3)}, {"upload_seconds", rounded(upload, 3)},
      {"overhead_seconds", rounded(overhead, 3)},     {"total_seconds", rounded(total, 3)}};
}

}  // namespace

void LegacyHandler::add_routes(Router& router) {
  router.add({"GET", "/", Access::kOpen, Cost::kNone,
              [this](http::Request&, const Call&) { return status(); }});
  router.add({"GET", "/debug", Access::kOpen, Cost::kNone,
              [this](http::Request&, const Call&) { return debug(); }});
  router.add({"POST", "/crop", Access::kKey, Cost::kModel,
              [this](http::Request& request, const Call&) { return crop(request); }});
  router.add({"POST", "/analyze", Access::kKey, Cost::kModel,
              [this](http::Request& request, const Call&) { return analyze(request); }});
}

Reply LegacyHandler::status() const {
  co_return json_response({{"status", "online"},
                           {"cropper_available", parts_.readiness.reason().empty()},
                           {"endpoint", "/crop"}});
}

Reply LegacyHandler::debug() const {
  const bool available = parts_.readiness.reason().empty();
  co_return json_response({{"cropper_available", available},
                           {"cropper_instance", parts_.registry->ready()},
                           {"has_openai_key", !parts_.settings.vlm_key.empty()},
                           {"has_supabase_url", parts_.settings.store == "s3"},
                           {"error", !available}});
}

Reply LegacyHandler::crop(http::Request& request) const {
  LegacyCropRequest legacy;
  co_await run_blocking(parts_.pool, [&] { legacy = parse_legacy_crop(request, parts_.settings); });
  const Json sent = legacy.image_url.empty() ? Json(nullptr) : Json(legacy.image_url);
  const std::vector<CutImage> images = co_await parts_.cutter.cut(request, legacy.cut);
  const CutImage& image = images.front();
  if (image.error && parts_.settings.legacy_errors) {
    co_return json_response(
        {{"croppedImageUrl", sent},
         {"fallback", true},
         {"error", Json::parse(error_body_json(*image.error))},
         {"items", Json::array()},
         {"not_found", legacy.cut.categories},
         {"timing", legacy_timing(image.timing, seconds_since(request.arrived))},
         {"request_id", request.id}});
  }
  throw_if_all_failed(images);
  const Json items = legacy_items(image);
  Json answer = Json::object();
  if (items.empty()) {
    answer["croppedImageUrl"] = sent;
    answer["fallback"] = true;
  } else if (items.size() == 1) {
    answer["croppedImageUrl"] = items.front()["url"];
  } else {
    Json urls = Json::array();
    for (const Json& item : items) urls.push_back(item["url"]);
    answer["croppedImageUrls"] = std::move(urls);
  }
  answer["items"] = items;
  answer["not_found"] = image.not_found;
  answer["timing"] = legacy_timing(image.timing, seconds_since(request.arrived));
  answer["request_id"] = request.id;
  co_return json_response(answer);
}

Reply LegacyHandler::analyze(http::Request& request) const {
  ImageSource source;
  co_await run_blocking(parts_.pool,
                        [&] { source = parse_legacy_analyze(request, parts_.settings); });
  Caller caller = caller_of(request, parts_.settings);
  const Patience patience(parts_.pool, caller.deadline, caller.gone);
  caller.gone = patience.token();
  parts_.readiness.check_model({});
  const Analyzer::Answer analysis = co_await parts_.analyzer.analyze(source, caller);
  Json answer = taxonomy::to_legacy_json(*analysis.result, analysis.cached);
  for (std::size_t i = 0; i < analysis.result->items.size(); ++i) {
    const Box& box = analysis.result->items[i].box;
    answer["items"][i]["box"] = {rounded(box.x0, 2), rounded(box.y0, 2), rounded(box.x1, 2),
                                 rounded(box.y1, 2)};
  }
  answer["not_found"] = analysis.result->not_found;
  answer["source"] = analysis.result->source;
  if (!analysis.result->fallback_reason.empty()) {
    answer["fallback_reason"] = analysis.result->fallback_reason;
  }
  answer["request_id"] = request.id;
  co_return json_response(answer);
}

}  // namespace itemcrop::service
