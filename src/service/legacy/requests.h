#pragma once

#include <string>

#include "service/http/message.h"
#include "service/requests/crop_request.h"
#include "service/requests/settings.h"

namespace itemcrop::service::legacy {

/// POST /crop.
struct CropCall {
  std::string image_url;  ///< as sent; empty: none
  CropRequest request;
};
/// Both throw Error or http::HttpError: 422 naming the field, 413 for an image that is too large.
CropCall parse_crop(http::Request& request, const Settings& settings);

/// POST /analyze: {"imageUrl"} (or imageBase64, an addition).
ImageSource parse_analyze(http::Request& request, const Settings& settings);

}  // namespace itemcrop::service::legacy
