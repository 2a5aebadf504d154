#include "service/crop_handler.h"

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "service/http/http_error.h"
#include "service/results.h"

namespace itemcrop::service {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// As throw_if_all_failed. 415 is about what was sent; behind an address it is the address that is
/// wrong.
void check_results(const std::vector<crop::ImageResult>& images, const ImageSource& first) {
  try {
    throw_if_all_failed(images);
  } catch (const Error& error) {
    const bool fetched = std::holds_alternative<std::string>(first.from);
    if (!fetched || error.code() != ErrorCode::kUnsupportedImage) throw;
    throw http::HttpError(422, error.code(), std::string("url: ") + error.what());
  }
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
  CropRequest wanted;
  co_await run_blocking(parts_.pools.work, call_of(request).caller, [&] {
    wanted = parse_crop_request(request, kind, parts_.settings);
    request.drop_body();  // its images are decoded; their text would only hold memory
  });
  parts_.readiness.check_model(wanted.model);
  Caller caller = caller_of(request, wanted.deadline);
  const StopAtDeadline stop(parts_.pools.work.threads(), caller.deadline, caller.stop);
  caller.stop = stop.token();
  RequestResults results = co_await parts_.runner.run(wanted, caller);
  check_results(results.images, wanted.images.front());
  http::Response response;
  co_await run_blocking(parts_.pools.work, call_of(request).caller, [&] {
    results.lease.resize(response_bytes(results.images));
    const crop::Request& asked = wanted;
    const ResponseHead head{request.id,
                            seconds_since(request.arrived) * 1000,
                            {.request = asked,
                             .crops = wanted.crops,
                             .hints = parts_.runner.hints(wanted, results.images)}};
    if (wanted.return_kind == ReturnKind::kZip) {
      response.content_type = "application/zip";
      response.headers.push_back({"Content-Disposition", "attachment; filename=\"crops.zip\""});
      auto zip =
          std::make_shared<const Bytes>(results_zip(head, std::move(results.images), caller.stop));
      results.lease.resize(static_cast<std::int64_t>(zip->size()));
      response.body = std::move(zip);
    } else {
      std::string text = results_text(head, std::move(results.images), caller.stop);
      results.lease.resize(static_cast<std::int64_t>(text.size()));
      response.body = std::move(text);
    }
  });
  response.held = std::make_shared<Lease>(std::move(results.lease));
  co_return response;
}

}  // namespace itemcrop::service
