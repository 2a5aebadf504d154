#include "service/requests/crop_request.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/ascii.h"
#include "crop/base64.h"
#include "items/word_list.h"
#include "service/http/multipart.h"
#include "service/requests/error_reply.h"
#include "service/requests/json_body.h"
#include "service/requests/json_fields.h"
#include "text/unicode.h"

namespace itemcrop::service {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxUrlBytes = 8192;
constexpr std::size_t kMaxIdBytes = 256;
constexpr std::size_t kMaxPromptBytes = 1000;
/// Sides of a preview: what is still recognised, and what fills a screen.
constexpr std::int64_t kMinPreview = 16;
constexpr std::int64_t kMaxPreview = 2048;

/// Item texts of a request share one bound, whatever field they are in.
class TextBudget {
 public:
  explicit TextBudget(std::int64_t max_bytes) : max_bytes_(max_bytes) {}

  void spend(const std::string& text) {
    used_ += static_cast<std::int64_t>(text.size());
    if (used_ > max_bytes_) {
      throw http::HttpError(422, ErrorCode::kLimitExceeded,
                            "items and categories hold more than max_text_bytes = " +
                                std::to_string(max_bytes_) + " bytes",
                            "items");
    }
  }

 private:
  std::int64_t max_bytes_;
  std::int64_t used_ = 0;
};

std::string words_of(const json& value, const std::string& path, TextBudget& budget) {
  std::string words = text_of(value, path, 1, kMaxPromptBytes);
  if (words.find_first_not_of(" \t\r\n") == words.npos) throw invalid_field(path, "is blank");
  if (words.find('\0') != words.npos) throw invalid_field(path, "holds a NUL character");
  budget.spend(words);
  return words;
}

Item parse_item(const json& value, const std::string& path, TextBudget& budget) {
  Item item;
  if (value.is_string()) {
    item.prompt = words_of(value, path, budget);
    return item;
  }
  if (!value.is_object()) throw invalid_field(path, "must be a text or an object");
  JsonFields fields(value, path);
  const json* prompt = fields.find("prompt");
  if (prompt == nullptr) throw invalid_field(fields.path_of("prompt"), "is missing");
  item.prompt = words_of(*prompt, fields.path_of("prompt"), budget);
  if (const auto threshold = fields.number("threshold", 0, 1)) {
    item.threshold = static_cast<float>(*threshold);
  }
  if (const auto count = fields.integer("count", 1, 1'000'000)) {
    item.count = static_cast<int>(*count);
  }
  item.distractor = fields.boolean("distractor").value_or(false);
  fields.refuse_unknown();
  return item;
}

void read_words(JsonFields& fields, CropRequest& request, const Settings& settings) {
  TextBudget budget(settings.max_text_bytes);
  const auto max_items = static_cast<std::size_t>(settings.max_items);
  if (const json* items = fields.array("items", max_items)) {
    for (const json& item : *items) {
      const std::string path = "items[" + std::to_string(request.items.size()) + "]";
      request.items.push_back(parse_item(item, path, budget));
    }
  }
  if (const json* categories = fields.array("categories", max_items)) {
    for (const json& category : *categories) {
      const std::string path = "categories[" + std::to_string(request.categories.size()) + "]";
      request.categories.push_back(words_of(category, path, budget));
    }
  }
  if (const std::size_t all = request.items.size() + request.categories.size(); all > max_items) {
    throw invalid_field("categories", "and items must be at most " + std::to_string(max_items) +
                                          " together (max_items), are " + std::to_string(all));
  }
  const bool any =
      !request.categories.empty() || std::any_of(request.items.begin(), request.items.end(),
                                                 [](const Item& item) { return !item.distractor; });
  if (!any) throw invalid_field("items", "must name something to find (or categories)");
}

void read_scoring(JsonFields& fields, CropRequest& request) {
  if (const auto threshold = fields.number("threshold", 0, 1)) {
    request.threshold = static_cast<float>(*threshold);
    request.scoring.threshold = *request.threshold;
  }
  ScoringOptions& scoring = request.scoring;
  const auto share = [&fields](std::string_view name, auto& value) {
    if (const auto given = fields.number(name, 0, 1)) value = static_cast<float>(*given);
  };
  share("text_threshold", scoring.text_threshold);
  share("nms", scoring.nms_iou);
  share("containment", scoring.containment);
  scoring.suppress = fields.boolean("suppress").value_or(scoring.suppress);
  if (const auto count = fields.integer("count", 1, 1'000'000)) {
    scoring.count = static_cast<int>(*count);
    request.count_each = scoring.count;
  }
  if (const auto labels = fields.text("labels", 1, 16)) {
    if (*labels != "items" && *labels != "tokens") {
      throw invalid_field("labels", "must be 'items' or 'tokens', is '" + *labels + "'");
    }
    if (*labels == "tokens") scoring.labels = LabelMode::kTokens;
  }
  if (scoring.labels == LabelMode::kTokens && !request.categories.empty()) {
    throw invalid_field("labels", "'tokens' does not go with categories");
  }
}

void read_crop(JsonFields& fields, CropRequest& request, RequestKind kind) {
  image::CropOptions& crop = request.crop;
  crop.margin = fields.number("margin", 0, 10).value_or(crop.margin);
  crop.square = fields.boolean("square").value_or(crop.square);
  crop.min_size = static_cast<int>(fields.integer("min_size", 0, 10'000).value_or(crop.min_size));
  crop.quality = static_cast<int>(fields.integer("quality", 1, 100).value_or(crop.quality));
  if (const auto format = fields.text("format", 1, 16)) {
    try {
      crop.format = image::parse_format(*format);
    } catch (const Error&) {
      throw invalid_field("format", "must be 'jpeg', 'png' or 'webp', is '" + *format + "'");
    }
  }
  if (const auto wanted = fields.text("return", 1, 16)) {
    if (*wanted == "url") {
      request.return_kind = ReturnKind::kUrl;
    } else if (*wanted == "base64") {
      request.return_kind = ReturnKind::kBase64;
    } else if (*wanted == "zip" && kind == RequestKind::kCrop) {
      request.return_kind = ReturnKind::kZip;
    } else {
      throw invalid_field(
          "return", std::string("must be 'url'") +
                        (kind == RequestKind::kCrop ? ", 'base64' or 'zip'" : " or 'base64'") +
                        ", is '" + *wanted + "'");
    }
  }
}

void read_images(JsonFields& fields, CropRequest& request, RequestKind kind,
                 const Settings& settings) {
  const auto max_images = static_cast<std::size_t>(kind == RequestKind::kJob ? settings.job_images
                                                                             : settings.max_images);
  const json* one = kind == RequestKind::kJob ? nullptr : fields.find("image");
  const json* many = fields.array("images", max_images);
  if (one != nullptr && many != nullptr) {
    throw invalid_field("images", "and image exclude each other");
  }
  if (one != nullptr) request.images.push_back(parse_image_source(*one, "image", "0", settings));
  if (many != nullptr) {
    if (many->empty()) throw invalid_field("images", "must not be empty");
    for (const json& image : *many) {
      const std::string position = std::to_string(request.images.size());
      request.images.push_back(
          parse_image_source(image, "images[" + position + "]", position, settings));
    }
  }
}

/// Everything but the images.
void read_options(JsonFields& fields, CropRequest& request, RequestKind kind,
                  const Settings& settings) {
  request.model = fields.text("model", 1, 256).value_or("");
  read_words(fields, request, settings);
  read_scoring(fields, request);
  request.crops = kind != RequestKind::kDetect;
  request.describe = kind != RequestKind::kDetect;
  if (request.crops) read_crop(fields, request, kind);
  request.hints = fields.boolean("hints").value_or(request.hints);
  if (kind != RequestKind::kJob) {
    if (const auto preview = fields.integer("preview", kMinPreview, kMaxPreview)) {
      if (request.return_kind == ReturnKind::kZip) {
        throw invalid_field("preview", "does not go with return = zip");
      }
      request.preview = static_cast<int>(*preview);
    }
    if (const auto deadline = fields.integer("deadline_ms", 1, 86'400'000)) {
      request.deadline = std::chrono::milliseconds(*deadline);
    }
  }
}

void require_images(const CropRequest& request, const char* field) {
  if (request.images.empty()) throw invalid_field(field, "is missing");
}

bool is_word_list(const std::string& name) { return name == "items" || name == "categories"; }

/// Values of forms and queries are texts; this makes of them what JSON would have held. Whatever
/// does not fit stays a text, and the JSON reader says what is wrong with it.
json value_of_text(const std::string& name, const std::string& text, const Settings& settings) {
  static constexpr std::array kNumbers = {"threshold",   "text_threshold", "nms",     "containment",
                                          "count",       "margin",         "quality", "min_size",
                                          "deadline_ms", "preview"};
  if (is_word_list(name)) {
    if (trimmed(text).empty()) return json::array();
    // One more than is allowed is refused as all the others would be.
    return items::parse_word_list(text, name, static_cast<std::size_t>(settings.max_items));
  }
  if (std::find(kNumbers.begin(), kNumbers.end(), name) != kNumbers.end()) {
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size()) return number;
  }
  if (name == "suppress" || name == "square" || name == "hints") {
    if (text == "true" || text == "1") return true;
    if (text == "false" || text == "0") return false;
  }
  return text;
}

void add_text(json& options, const std::string& name, const std::string& text,
              const Settings& settings) {
  if (!text::is_valid_utf8(text)) throw invalid_field(name.substr(0, 100), "is not UTF-8");
  json value = value_of_text(name, text, settings);
  if (!options.contains(name)) {
    options[name] = std::move(value);
  } else if (is_word_list(name) && options[name].is_array()) {
    // A form has lists by repeating a field.
    options[name].insert(options[name].end(), value.begin(), value.end());
  } else {
    throw invalid_field(name.substr(0, 100), "is given more than once");
  }
}

std::shared_ptr<const Bytes> bytes_of_view(std::string_view content, const std::string& field,
                                           const Settings& settings) {
  if (content.empty()) throw invalid_field(field, "is empty");
  if (content.size() > static_cast<std::size_t>(settings.max_image_bytes)) {
    throw http::HttpError(413, ErrorCode::kLimitExceeded,
                          field + " has " + std::to_string(content.size()) +
                              " bytes, max_image_bytes is " +
                              std::to_string(settings.max_image_bytes),
                          field);
  }
  const auto* begin = reinterpret_cast<const std::byte*>(content.data());
  return std::make_shared<const Bytes>(begin, begin + content.size());
}

CropRequest parse_form(const http::Request& request, const std::string& boundary, RequestKind kind,
                       const Settings& settings) {
  const auto max_parts = static_cast<std::size_t>(settings.max_images) + 32;
  CropRequest crop;
  json options = json::object();
  json typed = json::object();
  for (const http::Part& part : http::parse_multipart(request.body, boundary, max_parts)) {
    if (part.name == "image" || part.name == "images") {
      const std::string position = std::to_string(crop.images.size());
      if (crop.images.size() == static_cast<std::size_t>(settings.max_images)) {
        throw invalid_field("image", "may be given at most max_images = " +
                                         std::to_string(settings.max_images) + " times");
      }
      crop.images.push_back({position, bytes_of_view(part.content, "image", settings)});
    } else if (part.name == "options") {
      json given = parse_json(part.content, settings, request.gone);
      if (!given.is_object()) throw invalid_field("options", "must be an object");
      for (const auto& [name, value] : given.items()) {
        if (options.contains(name)) throw invalid_field(name, "is given more than once");
        options[name] = value;
      }
    } else if (!part.file_name.empty() && !text::is_valid_utf8(part.content)) {
      throw invalid_field(part.name.substr(0, 100),
                          "is a file; a photo is sent in the field 'image', as in curl -F "
                          "image=@look.jpg");
    } else {
      add_text(typed, part.name, std::string(part.content), settings);
    }
  }
  for (auto& [name, value] : typed.items()) {
    if (options.contains(name)) throw invalid_field(name, "is given more than once");
    options[name] = std::move(value);
  }
  require_images(crop, "image");
  JsonFields fields(options, "");
  read_options(fields, crop, kind, settings);
  fields.refuse_unknown();
  return crop;
}

CropRequest parse_raw(const http::Request& request, RequestKind kind, const Settings& settings) {
  CropRequest crop;
  crop.images.push_back({"0", bytes_of_view(request.body, "the body", settings)});
  json options = json::object();
  for (const auto& [name, value] : request.query) add_text(options, name, value, settings);
  JsonFields fields(options, "");
  read_options(fields, crop, kind, settings);
  fields.refuse_unknown();
  return crop;
}

std::string media_type(const http::Request& request) {
  const std::string_view header = request.header("Content-Type");
  std::string type(header.substr(0, header.find(';')));
  type.erase(type.find_last_not_of(" \t") + 1);
  return lower(type);
}

}  // namespace

json take_json(http::Request& request, const Settings& settings) {
  json body = parse_json(request.body, settings, request.gone);
  request.drop_body();
  return body;
}

void require_json(const http::Request& request) {
  const std::string type = media_type(request);
  if (type.empty() || type == "application/json") return;
  throw http::HttpError(415, ErrorCode::kInvalidArgument,
                        "Content-Type must be application/json, is '" + type.substr(0, 100) + "'");
}

void refuse_query(const http::Request& request) {
  if (request.query.empty()) return;
  throw invalid_field(request.query.front().first.substr(0, 100),
                      "is a query value; beside this kind of body options are its fields");
}

std::shared_ptr<const Bytes> bytes_of_base64(const std::string& text, const std::string& field,
                                             const Settings& settings) {
  const auto limit = static_cast<std::size_t>(settings.max_image_bytes);
  if (text.size() / 4 * 3 > limit + limit / 16 + 1024) {  // room for line breaks and a prefix
    throw http::HttpError(413, ErrorCode::kLimitExceeded,
                          field + " holds about " + std::to_string(text.size() / 4 * 3) +
                              " bytes, max_image_bytes is " + std::to_string(limit),
                          field);
  }
  auto bytes = crop::decode_base64(text);
  if (!bytes) throw invalid_field(field, "is not base64");
  if (bytes->empty()) throw invalid_field(field, "is empty");
  if (bytes->size() > limit) {
    throw http::HttpError(413, ErrorCode::kLimitExceeded,
                          field + " holds " + std::to_string(bytes->size()) +
                              " bytes, max_image_bytes is " + std::to_string(limit),
                          field);
  }
  return std::make_shared<const Bytes>(std::move(*bytes));
}

ImageSource parse_image_source(const json& value, const std::string& path,
                               const std::string& default_id, const Settings& settings) {
  JsonFields fields(value, path);
  ImageSource source;
  source.id = fields.text("id", 1, kMaxIdBytes).value_or(default_id);
  const json* url = fields.find("url");
  const json* base64 = fields.find("base64");
  if ((url == nullptr) == (base64 == nullptr)) {
    throw invalid_field(path, "needs either url or base64");
  }
  if (url != nullptr) {
    source.from = text_of(*url, fields.path_of("url"), 1, kMaxUrlBytes);
  } else {
    if (!base64->is_string()) throw invalid_field(fields.path_of("base64"), "must be a text");
    source.from =
        bytes_of_base64(base64->get_ref<const std::string&>(), fields.path_of("base64"), settings);
  }
  fields.refuse_unknown();
  return source;
}

CropRequest parse_crop_request(const json& body, RequestKind kind, const Settings& settings) {
  JsonFields fields(body, "");
  CropRequest request;
  read_images(fields, request, kind, settings);
  require_images(request, kind == RequestKind::kJob ? "images" : "image");
  read_options(fields, request, kind, settings);
  fields.refuse_unknown();
  return request;
}

CropRequest parse_crop_request(http::Request& request, RequestKind kind, const Settings& settings) {
  const ParsingRoom room(request, settings);
  const std::string type = media_type(request);
  if (type.starts_with("image/") || type == "application/octet-stream") {
    return parse_raw(request, kind, settings);
  }
  if (type == "multipart/form-data") {
    refuse_query(request);
    const std::string boundary = http::multipart_boundary(request.header("Content-Type"));
    if (boundary.empty()) {
      throw http::HttpError(400, ErrorCode::kInvalidArgument,
                            "multipart/form-data without a proper boundary");
    }
    return parse_form(request, boundary, kind, settings);
  }
  if (type.empty() || type == "application/json") {
    refuse_query(request);
    return parse_crop_request(take_json(request, settings), kind, settings);
  }
  throw http::HttpError(
      415, ErrorCode::kInvalidArgument,
      "Content-Type must be application/json, multipart/form-data or image/*, is '" +
          type.substr(0, 100) + "'");
}

CropRequest parse_crop_options(const json& body, RequestKind kind, const Settings& settings) {
  JsonFields fields(body, "");
  CropRequest request;
  read_options(fields, request, kind, settings);
  fields.refuse_unknown();
  return request;
}

std::vector<std::string> parse_words(const json& list, const std::string& field,
                                     const Settings& settings) {
  TextBudget budget(settings.max_text_bytes);
  std::vector<std::string> words;
  for (const json& word : list) {
    words.push_back(words_of(word, field + "[" + std::to_string(words.size()) + "]", budget));
  }
  return words;
}

std::optional<std::string> parse_url(JsonFields& fields, std::string_view name,
                                     std::size_t min_bytes) {
  return fields.text(name, min_bytes, kMaxUrlBytes);
}

}  // namespace itemcrop::service
