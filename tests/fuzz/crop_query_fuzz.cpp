#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "itemcrop/error.h"

#include "service/requests/crop_request.h"

namespace {

using namespace itemcrop::service;

void must(bool holds) {
  if (!holds) std::abort();
}

bool is_share(float value) { return value >= 0 && value <= 1; }

void check(const CropRequest& request, const Settings& settings) {
  const auto words = request.items.size() + request.categories.size();
  must(words >= 1 && words <= static_cast<std::size_t>(settings.max_items));
  std::size_t bytes = 0;
  for (const itemcrop::Item& item : request.items) {
    must(item.prompt.find('\0') == item.prompt.npos);
    bytes += item.prompt.size();
  }
  for (const std::string& category : request.categories) bytes += category.size();
  must(bytes >= words && bytes <= static_cast<std::size_t>(settings.max_text_bytes));
  const itemcrop::ScoringOptions& scoring = request.scoring;
  must(is_share(scoring.threshold.value_or(0)) && is_share(scoring.text_threshold.value_or(0)));
  must(is_share(scoring.nms_iou) && is_share(scoring.containment));
  must(scoring.count.value_or(1) >= 1);
  must(std::isfinite(request.crop.margin) && request.crop.margin >= 0 && request.crop.margin <= 10);
  must(request.crop.min_size >= 0 && request.crop.min_size <= 10'000);
  must(request.crop.quality >= 1 && request.crop.quality <= 100);
  must(!request.deadline || request.deadline->count() >= 1);
}

}  // namespace

/// The target of a request whose body is the image alone: an Error, or options within their ranges.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  http::Request request;
  request.method = "POST";
  request.headers = {{"Content-Type", "image/png"}};
  const std::string target(reinterpret_cast<const char*>(data), size);
  if (!http::parse_target("/v1/crop?" + target, request)) return 0;
  request.body = "PNG";
  const Settings settings;
  for (const RequestKind kind : {RequestKind::kDetect, RequestKind::kCrop}) {
    try {
      check(parse_crop_request(request, kind, settings), settings);
    } catch (const itemcrop::Error&) {
    }
  }
  return 0;
}
