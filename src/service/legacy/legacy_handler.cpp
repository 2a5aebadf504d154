#include "service/legacy/legacy_handler.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "crop/json.h"
#include "service/http/http_error.h"
#include "service/legacy/crop_name.h"
#include "service/legacy/json.h"
#include "service/legacy/requests.h"
#include "service/requests/json_answer.h"
#include "service/results.h"

namespace itemcrop::service::legacy {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The contract knows one error for every download that fails.
Error as_in_contract(const Error& error) {
  if (error.code() != ErrorCode::kBadImageUrl) return error;
  return {ErrorCode::kUnavailable, error.what(), error.field()};
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
  CropCall call;
  co_await run_blocking(parts_.pools.work, call_of(request).caller,
                        [&] { call = parse_crop(request, parts_.settings); });
  const Json sent = call.image_url.empty() ? Json(nullptr) : Json(call.image_url);
  Caller caller = caller_of(request);
  const StopAtDeadline stop(parts_.pools.work.threads(), caller.deadline, caller.stop);
  caller.stop = stop.token();
  RequestResults results = co_await parts_.runner.run(call.request, caller, &legacy::crop_name);
  crop::ImageResult& image = results.images.front();
  if (image.error) image.error = as_in_contract(*image.error);
  Json json = Json::object();
  if (image.error && parts_.settings.legacy_errors) {
    json = {{"croppedImageUrl", sent},
            {"fallback", true},
            {"error", crop::error_json(*image.error)},
            {"items", Json::array()},
            {"not_found", call.request.categories}};
  } else {
    throw_if_all_failed(results.images);
    co_await run_blocking(parts_.pools.work, call_of(request).caller, [&] {
      results.lease.resize(response_bytes(results.images));
      json = crop_json(image, sent);
    });
  }
  json["timing"] = timing_json(image.timing, seconds_since(request.arrived));
  json["request_id"] = request.id;
  http::Response response = json_response(json);
  response.held = std::make_shared<Lease>(std::move(results.lease));
  co_return response;
}

Reply LegacyHandler::analyze(http::Request& request) const {
  ImageSource source;
  co_await run_blocking(parts_.pools.work, call_of(request).caller,
                        [&] { source = parse_analyze(request, parts_.settings); });
  Caller caller = caller_of(request);
  const StopAtDeadline stop(parts_.pools.work.threads(), caller.deadline, caller.stop);
  caller.stop = stop.token();
  parts_.readiness.check_model({});
  Analyzer::Answer found;
  try {
    found = co_await parts_.analyzer.analyze(source, caller);
  } catch (const http::HttpError&) {
    throw;
  } catch (const Error& error) {
    throw as_in_contract(error);
  }
  const Analysis& analysis = *found.analysis;
  Json json = analysis_json(analysis, found.cached);
  for (std::size_t i = 0; i < analysis.image.items.size(); ++i) {
    json["items"][i]["box"] = crop::box_json(analysis.image.items[i].detection.box);
  }
  json["not_found"] = analysis.image.not_found;
  json["source"] = analysis.source;
  if (!analysis.fallback_reason.empty()) json["fallback_reason"] = analysis.fallback_reason;
  json["request_id"] = request.id;
  http::Response response = json_response(json);
  response.held = std::make_shared<Lease>(std::move(found.lease));
  co_return response;
}

}  // namespace itemcrop::service::legacy
