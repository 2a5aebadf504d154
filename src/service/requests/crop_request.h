#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "crop/request.h"
#include "service/http/message.h"
#include "service/requests/image_source.h"
#include "service/requests/settings.h"

namespace itemcrop::service {

class JsonFields;
using crop::Bytes;

enum class ReturnKind { kUrl, kBase64, kZip };

/// What /v1/detect, /v1/crop, /v1/jobs and the legacy routes ask for, checked.
struct CropRequest : crop::Request {
  std::vector<ImageSource> images;
  std::string model;   ///< empty: the default
  bool crops = false;  ///< crop the items
  ReturnKind return_kind = ReturnKind::kUrl;
  int preview = 0;    ///< longest side of a preview of each image, in pixels; 0: none
  bool hints = true;  ///< say what would find more
  std::optional<std::chrono::milliseconds> deadline;
};

enum class RequestKind { kDetect, kCrop, kJob };

/// Reads a JSON body. Throws http::HttpError: 422 naming the field, 413 for an image that is too
/// large.
CropRequest parse_crop_request(const nlohmann::json& body, RequestKind kind,
                               const Settings& settings);

/// The same of a body that has everything but images, as a job's journal keeps it.
CropRequest parse_crop_options(const nlohmann::json& body, RequestKind kind,
                               const Settings& settings);

/// Parses a request's body and drops its text: what it holds is then in memory at most twice, as
/// text and as JSON or as JSON and images. Throws as parse_json.
nlohmann::json take_json(http::Request& request, const Settings& settings);

/// Reads any of the three kinds of body (JSON, form, the image itself with options in the query).
CropRequest parse_crop_request(http::Request& request, RequestKind kind, const Settings& settings);

/// Throws HttpError 415 for a body that says it is something else than JSON: what forms of pages
/// send.
void require_json(const http::Request& request);

/// Options in the query belong to a body that is the image alone; beside JSON or a form they
/// would be lost in silence. Throws http::HttpError 422 naming the first.
void refuse_query(const http::Request& request);

/// One image of a body, as of a job's journal: {"url"} or {"base64"} and an "id".
ImageSource parse_image_source(const nlohmann::json& value, const std::string& path,
                               const std::string& default_id, const Settings& settings);

/// Decodes base64 text of a field. Throws http::HttpError 413, 422.
std::shared_ptr<const Bytes> bytes_of_base64(const std::string& text, const std::string& field,
                                             const Settings& settings);

/// A list of words: none blank, all together within max_text_bytes. Throws http::HttpError 422.
std::vector<std::string> parse_words(const nlohmann::json& list, const std::string& field,
                                     const Settings& settings);

/// Reads the text of a URL. Throws http::HttpError 422.
std::optional<std::string> parse_url(JsonFields& fields, std::string_view name,
                                     std::size_t min_bytes);

}  // namespace itemcrop::service
