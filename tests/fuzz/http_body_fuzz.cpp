#include <cstddef>
#include <cstdint>
#include <string>

#include "itemcrop/error.h"

#include "service/legacy/requests.h"

namespace {

using itemcrop::service::RequestKind;

constexpr const char* kTypes[] = {"application/json", "multipart/form-data; boundary=B",
                                  "image/jpeg", ""};

}  // namespace

/// The first byte chooses the kind of body, the first line is the target, the rest the body.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  const std::size_t line = text.find('\n');
  itemcrop::service::http::Request request;
  request.method = "POST";
  request.headers = {{"Content-Type", kTypes[data[0] % 4]}};
  if (line != text.npos && !parse_target(text.substr(0, line), request)) return 0;
  request.body = line == text.npos ? text : text.substr(line + 1);
  const itemcrop::service::Settings settings;
  for (const RequestKind kind : {RequestKind::kDetect, RequestKind::kCrop, RequestKind::kJob}) {
    try {
      itemcrop::service::http::Request copy = request;
      parse_crop_request(copy, kind, settings);
    } catch (const itemcrop::Error&) {
    }
  }
  try {
    itemcrop::service::http::Request copy = request;
    itemcrop::service::legacy::parse_crop(copy, settings);
  } catch (const itemcrop::Error&) {
  }
  try {
    itemcrop::service::legacy::parse_analyze(request, settings);
  } catch (const itemcrop::Error&) {
  }
  return 0;
}
