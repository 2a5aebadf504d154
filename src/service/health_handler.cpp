#include "service/health_handler.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "service/requests/error_reply.h"
#include "service/requests/json_answer.h"

namespace itemcrop::service {

using Json = nlohmann::ordered_json;

void HealthHandler::add_routes(Router& router) {
  router.add(
      {"GET", "/healthz", Access::kOpen, Cost::kNone, [](http::Request&, const Call&) -> Reply {
         co_return json_response({{"status", "ok"}});
       }});
  router.add({"GET", "/readyz", Access::kOpen, Cost::kNone,
              [this](http::Request&, const Call&) { return ready(); }});
  router.add({"GET", "/metrics", Access::kKey, Cost::kNone,
              [this](http::Request&, const Call&) { return metrics(); }});
  router.add({"GET", "/v1/models", Access::kKey, Cost::kNone,
              [this](http::Request&, const Call&) { return models(); }});
}

Reply HealthHandler::ready() const {
  const std::string reason = parts_.readiness.reason();
  if (reason.empty()) co_return json_response({{"status", "ready"}});
  if (parts_.readiness.draining()) {
    throw scheduler::RejectedError(ErrorCode::kDraining, scheduler::RejectReason::kDraining, 5,
                                   reason);
  }
  throw http::HttpError(
      503, parts_.readiness.device_lost() ? ErrorCode::kDeviceLost : ErrorCode::kUnavailable,
      reason);
}

Reply HealthHandler::metrics() const {
  http::Response response;
  co_await run_blocking(parts_.pool, [&] {
    const jobs::JobCounts counts = parts_.jobs->counts();
    parts_.metrics->jobs("queued", static_cast<double>(counts.queued));
    parts_.metrics->jobs("running", static_cast<double>(counts.running));
    parts_.metrics->jobs("done", static_cast<double>(counts.done));
    parts_.metrics->jobs("failed", static_cast<double>(counts.failed));
    parts_.metrics->jobs("cancelled", static_cast<double>(counts.cancelled));
    for (const scheduler::DeviceStatus& device : parts_.scheduler->status().devices) {
      parts_.metrics->on_device(device.id, device.healthy, device.reason);
    }
    response.body = parts_.metrics->text();
  });
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  co_return response;
}

Reply HealthHandler::models() const {
  Json list = Json::array();
  std::vector<scheduler::ModelStatus> models = parts_.registry->status();
  std::stable_partition(models.begin(), models.end(),
                        [](const auto& model) { return model.is_default; });
  for (const scheduler::ModelStatus& model : models) {
    const taxonomy::Taxonomy& words = parts_.taxonomies->for_model(model.name);
    Json categories = Json::array();
    for (const taxonomy::Category& category : words.categories) {
      if (words.is_taught(category.name)) categories.push_back(category.name);
    }
    const bool placed = !model.replicas.empty();
    list.push_back({{"name", model.name},
                    {"default", model.is_default},
                    {"device", placed ? to_string(model.replicas.front().device.device) : "auto"},
                    {"precision", placed ? to_string(model.replicas.front().precision) : "auto"},
                    {"parameters", model.info.parameters},
                    {"ready", model.state == scheduler::ModelState::kReady},
                    {"state", to_string(model.state)},
                    {"generation", model.generation},
                    {"reason", model.reason.empty() ? Json(nullptr) : Json(model.reason)},
                    {"categories", std::move(categories)},
                    {"taught", words.taught.empty() ? Json(nullptr) : Json(words.taught)}});
  }
  co_return json_response({{"models", std::move(list)}});
}

}  // namespace itemcrop::service
