#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "service/answers.h"
#include "service/base64.h"
#include "service/json_answer.h"
#include "service/service.h"

namespace itemcrop::service {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

/// Pictures of one request that are worked on at a time: enough to fill a batch, few enough that
/// one caller does not fill the queue.
constexpr std::size_t kPicturesAtATime = 8;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// A request whose only picture failed is a failed request, and so is one whose pictures all failed
/// for the same reason of the service's.
void throw_if_all_failed(const std::vector<CutImage>& images) {
  const bool all = std::all_of(images.begin(), images.end(),
                               [](const CutImage& image) { return image.error.has_value(); });
  if (!all) return;
  const bool same = std::all_of(images.begin(), images.end(), [&](const CutImage& image) {
    return image.error->status == images.front().error->status;
  });
  if (images.size() == 1 || (same && images.front().error->status >= 429)) {
    throw Troubled(*images.front().error);
  }
}

std::string url_of(const CropFile& crop) {
  if (!crop.url.empty()) return crop.url;
  return "data:" + crop.content_type + ";base64," + base64(*crop.bytes);
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

Awaitable<std::vector<CutImage>> Service::cut_all(http::Request& request, const CutRequest& cut) {
  Caller caller = caller_of(request);
  if (cut.deadline) caller.deadline = std::min(request.deadline, request.arrived + *cut.deadline);
  const Patience patience(work_pool_, caller.deadline, caller.gone);
  caller.gone = patience.token();
  std::vector<CutImage> images(cut.images.size());
  const std::size_t at_a_time =
      std::min({images.size(), kPicturesAtATime, static_cast<std::size_t>(settings_.max_queued)});
  // The first has had its place since the request was admitted.
  const std::shared_ptr<void> places = take_places(static_cast<std::int64_t>(at_a_time) - 1);
  std::vector<std::function<Awaitable<void>()>> tasks;
  for (std::size_t i = 0; i < images.size(); ++i) {
    tasks.push_back([this, i, &images, &cut, &caller]() -> Awaitable<void> {
      images[i] = co_await cutter_->cut(cut.images[i], cut, caller);
    });
  }
  co_await gather(std::move(tasks), at_a_time);
  co_return images;
}

Service::Reply Service::cut_answer(http::Request& request, RequestKind kind) {
  CutRequest cut;
  co_await run_blocking(work_pool_, [&] {
    cut = parse_cut_request(request, kind, settings_);
    request.body = {};  // its pictures are decoded; their text would only hold memory
  });
  check_model(cut.model);
  std::vector<CutImage> images = co_await cut_all(request, cut);
  throw_if_all_failed(images);
  http::Response response;
  co_await run_blocking(work_pool_, [&] {
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

Service::Reply Service::detect(http::Request& request, const std::string&) {
  co_return co_await cut_answer(request, RequestKind::kDetect);
}

Service::Reply Service::crop(http::Request& request, const std::string&) {
  co_return co_await cut_answer(request, RequestKind::kCrop);
}

Service::Reply Service::legacy_crop(http::Request& request, const std::string&) {
  LegacyCropRequest legacy;
  co_await run_blocking(work_pool_, [&] {
    legacy = parse_legacy_crop(request, settings_);
    request.body = {};
  });
  const Json sent = legacy.image_url.empty() ? Json(nullptr) : Json(legacy.image_url);
  const std::vector<CutImage> images = co_await cut_all(request, legacy.cut);
  const CutImage& image = images.front();
  if (image.error && settings_.legacy_errors) {
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

Service::Reply Service::legacy_analyze(http::Request& request, const std::string&) {
  ImageSource source;
  co_await run_blocking(work_pool_, [&] { source = parse_legacy_analyze(request, settings_); });
  Caller caller = caller_of(request);
  const Patience patience(work_pool_, caller.deadline, caller.gone);
  caller.gone = patience.token();
  check_model({});
  const Analyzer::Answer analysis = co_await analyzer_->analyze(source, caller);
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
