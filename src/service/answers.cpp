#include "service/answers.h"

#include <algorithm>
#include <ctime>
#include <memory>

#include <archive.h>
#include <archive_entry.h>
#include <nlohmann/json.hpp>

#include "items/naming.h"
#include "crop/base64.h"
#include "service/requests/json_answer.h"

namespace itemcrop::service {
namespace {

using Json = nlohmann::ordered_json;

Json crop_json(const CropFile& crop, bool in_zip) {
  Json json = Json::object();
  if (in_zip) {
    json["file"] = crop.name;
  } else if (!crop.url.empty()) {
    json["url"] = crop.url;
  } else {
    json["base64"] = crop::base64(*crop.bytes);
  }
  json["content_type"] = crop.content_type;
  json["width"] = crop.width;
  json["height"] = crop.height;
  return json;
}

Json item_json(const CutItem& item, bool in_zip) {
  const Detection& found = item.detection;
  Json scores = Json::object();
  for (const ItemScore& each : found.scores) scores[each.item] = rounded(each.score, 6);
  Json json = {{"item", found.item},
               {"score", rounded(found.score, 6)},
               {"box",
                {rounded(found.box.x0, 2), rounded(found.box.y0, 2), rounded(found.box.x1, 2),
                 rounded(found.box.y1, 2)}},
               {"scores", std::move(scores)}};
  if (!item.category.empty()) json["category"] = item.category;
  if (!item.description.empty()) json["description"] = item.description;
  if (item.crop) json["crop"] = crop_json(*item.crop, in_zip);
  return json;
}

struct ArchiveFree {
  void operator()(archive* writer) const noexcept { archive_write_free(writer); }
};
using ArchivePtr = std::unique_ptr<archive, ArchiveFree>;

la_ssize_t append(archive*, void* to, const void* data, std::size_t length) {
  auto& bytes = *static_cast<std::vector<std::byte>*>(to);
  const auto* begin = static_cast<const std::byte*>(data);
  bytes.insert(bytes.end(), begin, begin + length);
  return static_cast<la_ssize_t>(length);
}

[[noreturn]] void zip_failed() { throw Error(ErrorCode::kInternal, "the zip could not be made"); }

void add_file(archive* writer, const std::string& name, const void* data, std::size_t size) {
  const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry(archive_entry_new(),
                                                                            archive_entry_free);
  archive_entry_set_pathname_utf8(entry.get(), name.c_str());
  archive_entry_set_size(entry.get(), static_cast<la_int64_t>(size));
  archive_entry_set_filetype(entry.get(), AE_IFREG);
  archive_entry_set_perm(entry.get(), 0644);
  archive_entry_set_mtime(entry.get(), std::time(nullptr), 0);
  if (archive_write_header(writer, entry.get()) != ARCHIVE_OK) zip_failed();
  if (archive_write_data(writer, data, size) != static_cast<la_ssize_t>(size)) zip_failed();
}

}  // namespace

Json image_json(const CutImage& image, bool in_zip) {
  const auto known = [](int size) { return size > 0 ? Json(size) : Json(nullptr); };
  Json detections = Json::array();
  for (const CutItem& item : image.items) detections.push_back(item_json(item, in_zip));
  const CutTiming& timing = image.timing;
  return {{"id", image.id},
          {"width", known(image.width)},
          {"height", known(image.height)},
          {"detections", std::move(detections)},
          {"not_found", image.not_found},
          {"error", image.error ? Json::parse(error_body_json(*image.error)) : Json(nullptr)},
          {"timing_ms",
           {{"fetch", rounded(timing.fetch, 2)},
            {"decode", rounded(timing.decode, 2)},
            {"queue", rounded(timing.queue, 2)},
            {"preprocess", rounded(timing.preprocess, 2)},
            {"model", rounded(timing.model, 2)},
            {"postprocess", rounded(timing.postprocess, 2)},
            {"encode", rounded(timing.encode, 2)},
            {"store", rounded(timing.store, 2)}}}};
}

Json cut_answer_json(const std::vector<CutImage>& images, const std::string& request_id,
                     double total_ms, bool in_zip) {
  const auto ran = std::find_if(images.begin(), images.end(),
                                [](const CutImage& image) { return image.device != "auto"; });
  const CutImage& facts = ran == images.end() ? images.front() : *ran;
  Json list = Json::array();
  for (const CutImage& image : images) list.push_back(image_json(image, in_zip));
  return {{"request_id", request_id},  {"model", facts.model},
          {"device", facts.device},    {"precision", facts.precision},
          {"images", std::move(list)}, {"timing_ms", {{"total", rounded(total_ms, 2)}}}};
}

std::vector<std::byte> zip_answer(std::vector<CutImage> images, const std::string& request_id,
                                  double total_ms) {
  std::vector<std::byte> bytes;
  const ArchivePtr writer(archive_write_new());
  if (writer == nullptr || archive_write_set_format_zip(writer.get()) != ARCHIVE_OK ||
      archive_write_set_options(writer.get(), "zip:compression=store") != ARCHIVE_OK ||
      archive_write_open(writer.get(), &bytes, nullptr, append, nullptr) != ARCHIVE_OK) {
    zip_failed();
  }
  items::UniqueStems folders;
  for (CutImage& image : images) {
    const std::string folder = images.size() > 1 ? folders.unique(image.id) + "/" : "";
    for (CutItem& item : image.items) {
      CropFile& crop = *item.crop;
      crop.name.insert(0, folder);
      add_file(writer.get(), crop.name, crop.bytes->data(), crop.bytes->size());
    }
  }
  const std::string json = cut_answer_json(images, request_id, total_ms, true)
                               .dump(2, ' ', false, Json::error_handler_t::replace);
  add_file(writer.get(), "results.json", json.data(), json.size());
  if (archive_write_close(writer.get()) != ARCHIVE_OK) zip_failed();
  return bytes;
}

}  // namespace itemcrop::service
