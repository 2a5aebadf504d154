#include "service/results.h"

#include <algorithm>
#include <ctime>
#include <memory>
#include <optional>
#include <utility>

#include <archive.h>
#include <archive_entry.h>
#include <nlohmann/json.hpp>

#include "core/stop.h"
#include "crop/base64.h"
#include "crop/json.h"
#include "items/naming.h"
#include "service/http/message.h"
#include "service/requests/json_answer.h"

namespace itemcrop::service {
namespace {

using Json = nlohmann::ordered_json;

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

/// A crop that goes into the text as base64, and what stands there in its place at first.
struct Inlined {
  std::string marker;
  std::shared_ptr<const crop::Bytes> bytes;
};

/// Puts a few bytes in the place of crops' own, so that megabytes need not go through a JSON
/// document, which copies and checks each of them. Nobody can guess the marker, so no text of a
/// client's holds one.
std::vector<Inlined> take_inline_crops(std::vector<crop::ImageResult>& images) {
  std::vector<Inlined> crops;
  const std::string secret = http::random_id();
  const auto take = [&](std::optional<crop::CropFile>& crop) {
    if (!crop || !crop->url.empty() || !crop->bytes) return;
    const std::string name = secret + std::to_string(crops.size());
    const auto marked = std::as_bytes(std::span(name));
    auto marker = std::make_shared<const crop::Bytes>(marked.begin(), marked.end());
    crops.push_back({crop::base64(*marker), std::exchange(crop->bytes, marker)});
  };
  for (crop::ImageResult& image : images) {
    for (crop::FoundItem& item : image.items) take(item.crop);
    take(image.preview);  // after the crops, as in the JSON
  }
  return crops;
}

}  // namespace

Json results_json(const ResponseHead& head, std::span<const crop::ImageResult> images) {
  Json json = {{"request_id", head.request_id}};
  crop::ResultsHead results = head.results;
  results.placement = crop::placement_of(images);
  json.update(crop::results_json(results, images));
  json["timing_ms"] = {{"total", crop::rounded(head.total_ms, 2)}};
  return json;
}

std::string results_text(const ResponseHead& head, std::vector<crop::ImageResult> images,
                         const std::stop_token& stop) {
  const std::vector<Inlined> crops = take_inline_crops(images);
  const std::string outline = dump(results_json(head, images));
  std::string text;
  std::size_t size = outline.size();
  for (const Inlined& crop : crops) size += crop.bytes->size() / 3 * 4 + 4;
  text.reserve(size);
  std::size_t done = 0;
  for (const Inlined& crop : crops) {
    throw_if_stopped(stop);
    const std::size_t at = outline.find(crop.marker, done);
    text.append(outline, done, at - done).append(crop::base64(*crop.bytes));
    done = at + crop.marker.size();
  }
  return text.append(outline, done);
}

std::vector<std::byte> results_zip(const ResponseHead& head, std::vector<crop::ImageResult> images,
                                   const std::stop_token& stop) {
  std::vector<std::byte> bytes;
  const ArchivePtr writer(archive_write_new());
  if (writer == nullptr || archive_write_set_format_zip(writer.get()) != ARCHIVE_OK ||
      archive_write_set_options(writer.get(), "zip:compression=store") != ARCHIVE_OK ||
      archive_write_open(writer.get(), &bytes, nullptr, append, nullptr) != ARCHIVE_OK) {
    zip_failed();
  }
  items::UniqueStems folders;
  for (crop::ImageResult& image : images) {
    const std::string folder = images.size() > 1 ? folders.unique(image.id) + "/" : "";
    for (crop::FoundItem& item : image.items) {
      throw_if_stopped(stop);
      crop::CropFile& crop = *item.crop;
      crop.name.insert(0, folder);
      add_file(writer.get(), crop.name, crop.bytes->data(), crop.bytes->size());
      crop.bytes.reset();  // results.json then names the file
    }
  }
  const std::string json =
      results_json(head, images).dump(2, ' ', false, Json::error_handler_t::replace);
  add_file(writer.get(), "results.json", json.data(), json.size());
  if (archive_write_close(writer.get()) != ARCHIVE_OK) zip_failed();
  return bytes;
}

std::int64_t response_bytes(std::span<const crop::ImageResult> images) {
  // A JSON document takes several times its text. A crop is there as bytes and, in base64, which
  // adds a third, twice for a moment.
  constexpr std::int64_t kItem = 2'500;
  constexpr std::int64_t kScore = 250;
  constexpr std::int64_t kCropByte = 4;
  std::int64_t bytes = 10'000;
  for (const crop::ImageResult& image : images) {
    bytes += kItem;
    if (image.preview) bytes += kCropByte * static_cast<std::int64_t>(image.preview->bytes->size());
    for (const crop::FoundItem& item : image.items) {
      bytes += kItem;
      for (const ItemScore& score : item.detection.scores) {
        bytes += kScore + static_cast<std::int64_t>(score.item.size());
      }
      if (item.crop && item.crop->bytes) {
        bytes += kCropByte * static_cast<std::int64_t>(item.crop->bytes->size());
      }
    }
  }
  return bytes;
}

}  // namespace itemcrop::service
