#include "service/legacy/requests.h"

#include <optional>

#include <nlohmann/json.hpp>

#include "service/requests/error_reply.h"
#include "service/requests/json_body.h"
#include "service/requests/json_fields.h"

namespace itemcrop::service::legacy {
namespace {

using nlohmann::json;

/// Bytes sent along; none where the field is absent or empty.
std::shared_ptr<const Bytes> sent_bytes(JsonFields& fields, const Settings& settings) {
  const json* base64 = fields.find("imageBase64");
  if (base64 == nullptr) return nullptr;
  if (!base64->is_string()) throw invalid_field("imageBase64", "must be a text");
  const auto& text = base64->get_ref<const std::string&>();
  return text.empty() ? nullptr : bytes_of_base64(text, "imageBase64", settings);
}

}  // namespace

CropCall parse_crop(http::Request& request, const Settings& settings) {
  const ParsingRoom room(request, settings);
  const json body = take_json(request, settings);
  JsonFields fields(body, "");  // the backend ignored fields that it did not know
  CropCall call;
  const auto url = parse_url(fields, "imageUrl", 0);
  if (auto bytes = sent_bytes(fields, settings)) {
    call.request.images.push_back({"0", std::move(bytes)});
  } else if (url && !url->empty()) {
    call.request.images.push_back({"0", *url});
  } else {
    throw invalid_field("imageUrl", "or imageBase64 is needed");
  }
  call.image_url = url.value_or("");
  const json* categories = fields.array("categories", static_cast<std::size_t>(settings.max_items));
  if (categories == nullptr || categories->empty()) {
    throw invalid_field("categories", "must name at least one category");
  }
  call.request.categories = parse_words(*categories, "categories", settings);
  call.request.count_each.reset();
  if (const auto count = fields.integer("count", 1, 1'000'000)) {
    call.request.count_in_all = static_cast<int>(*count);
  }
  call.request.order = crop::Order::kAsAsked;
  call.request.crops = true;
  call.request.describe = true;
  return call;
}

ImageSource parse_analyze(http::Request& request, const Settings& settings) {
  const ParsingRoom room(request, settings);
  const json body = take_json(request, settings);
  JsonFields fields(body, "");
  const auto url = parse_url(fields, "imageUrl", 0);
  if (url && !url->empty()) return {"0", *url};
  const json* base64 = fields.find("imageBase64");
  if (base64 == nullptr) throw invalid_field("imageUrl", "is missing");
  if (!base64->is_string()) throw invalid_field("imageBase64", "must be a text");
  return {"0", bytes_of_base64(base64->get_ref<const std::string&>(), "imageBase64", settings)};
}

}  // namespace itemcrop::service::legacy
