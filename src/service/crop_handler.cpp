#include "service/crop_handler.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "service/answers.h"
#include "service/requests/json_answer.h"

namespace itemcrop::service {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

void CropHandler::add_routes(Router& router) {
  router.add({"POST", "/v1/detect", Access::kKey, Cost::kModel,
              [this](http::Request& request, const Call&) {
                return crop(request, RequestKind::kDetect);
              }});
  router.add(
      {"POST", "/v1/crop", Access::kKey, Cost::kModel,
       [this](http::Request& request, const Call&) { return crop(request, RequestKind::kCrop); }});
}

Reply CropHandler::crop(http::Request& request, RequestKind kind) const {
  CutRequest cut;
  co_await run_blocking(parts_.pool, [&] {
    cut = parse_cut_request(request, kind, parts_.settings);
    request.drop_body();  // its pictures are decoded; their text would only hold memory
  });
  parts_.readiness.check_model(cut.model);
  std::vector<CutImage> images = co_await parts_.cutter.cut(request, cut);
  throw_if_all_failed(images);
  http::Response response;
  co_await run_blocking(parts_.pool, [&] {
    const double total_ms = seconds_since(request.arrived) * 1000;
    if (cut.return_kind == ReturnKind::kZip) {
      response.content_type = "application/zip";
      response.headers.push_back({"Content-Disposition", "attachment; filename=\"crops.zip\""});
      response.body =
          std::make_shared<const Bytes>(zip_answer(std::move(images), request.id, total_ms));
    } else {
      response.body = dump(cut_answer_json(images, request.id, total_ms));
    }
  });
  co_return response;
}

}  // namespace itemcrop::service
