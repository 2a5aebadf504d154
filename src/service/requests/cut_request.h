#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "itemcrop/items.h"

#include "image/crop.h"
#include "service/http/message.h"
#include "service/requests/settings.h"

namespace itemcrop::service {

using Bytes = std::vector<std::byte>;

/// A picture to be had: by URL, or sent along.
struct ImageSource {
  std::string id;  ///< the client's name for it, else its position
  std::variant<std::string, std::shared_ptr<const Bytes>> from;
};

enum class ReturnKind { kUrl, kBase64, kZip };

/// What /v1/detect, /v1/crop, /v1/jobs and the old routes ask for, checked.
struct CutRequest {
  std::vector<ImageSource> images;
  std::string model;                    ///< empty: the default
  std::vector<Item> items;              ///< with thresholds of their own where given
  std::vector<std::string> categories;  ///< words of the taxonomy or free text
  std::optional<float> threshold;       ///< of the request; none: 0.25, or the taxonomy's
  std::optional<int> category_count;    ///< the old contract's `count`
  ScoringOptions scoring;
  bool crops = false;     ///< cut the items out
  bool describe = false;  ///< say colour and kind
  image::CropOptions crop;
  ReturnKind return_kind = ReturnKind::kUrl;
  bool legacy_names = false;  ///< item1_navy_blazer_crop.jpg
  std::optional<std::chrono::milliseconds> deadline;
};

enum class RequestKind { kDetect, kCrop, kJob };

/// Reads a JSON body. Throws Failure: 422 naming the field, 413 for a picture that is too large.
CutRequest parse_cut_request(const nlohmann::json& body, RequestKind kind,
                             const Settings& settings);

/// The readers of whole requests drop a JSON body once it is parsed: what it holds is then in
/// memory at most twice, as text and as JSON or as JSON and images.

/// Reads any of the three kinds of body (JSON, form, the picture itself with options in the query).
CutRequest parse_cut_request(http::Request& request, RequestKind kind, const Settings& settings);

/// Throws HttpError 415 for a body that says it is something else than JSON: what forms of pages
/// send.
void require_json(const http::Request& request);

/// Options in the query belong to a body that is the picture alone; beside JSON or a form they
/// would be lost in silence. Throws Failure 422 naming the first.
void refuse_query(const http::Request& request);

/// One picture of a body, as of a job's journal: {"url"} or {"base64"} and an "id".
ImageSource parse_image_source(const nlohmann::json& value, const std::string& path,
                               const std::string& default_id, const Settings& settings);

/// Decodes base64 text of a field. Throws Failure 413, 422.
std::shared_ptr<const Bytes> bytes_of_base64(const std::string& text, const std::string& field,
                                             const Settings& settings);

/// POST /crop of the old contract.
struct LegacyCropRequest {
  std::string image_url;  ///< as sent; empty: none
  CutRequest cut;
};
LegacyCropRequest parse_legacy_crop(http::Request& request, const Settings& settings);

/// POST /analyze of the old contract: {"imageUrl"} (or imageBase64, an addition).
ImageSource parse_legacy_analyze(http::Request& request, const Settings& settings);

}  // namespace itemcrop::service
