#include "cli/crop_writer.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <vector>

#include "itemcrop/error.h"

#include "cli/contact_sheet.h"
#include "cli/photo_source.h"
#include "cli/words.h"
#include "crop/make_crops.h"
#include "image/annotate.h"
#include "image/encode.h"
#include "image/resize.h"
#include "items/suppression.h"

namespace itemcrop::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCropFolder = "crops";
constexpr const char* kAnnotatedFolder = "annotated";
constexpr const char* kThumbnailFolder = "thumbnails";
constexpr const char* kJson = "results.json";
constexpr const char* kPage = "index.html";
constexpr int kAnnotatedQuality = 85;  // for looking at, not for cutting
constexpr int kThumbnailQuality = 80;
// Twice what the page shows, for screens of that many pixels.
constexpr int kCropThumbnail = 256;
constexpr int kPhotoThumbnail = 480;

std::vector<std::string_view> pages_of(const CropArguments& arguments) {
  std::vector<std::string_view> pages = {kJson};
  if (arguments.contact_sheet) pages.emplace_back(kPage);
  return pages;
}

}  // namespace

std::string thumbnail_of(const std::string& path) {
  return (fs::path(kThumbnailFolder) / fs::path(path).stem()).generic_string() + ".jpg";
}

CropWriter::CropWriter(const CropArguments& arguments)
    : arguments_(arguments), folder_(arguments.out, pages_of(arguments)) {}

void CropWriter::write_photo(crop::ImageResult& photo, const image::Image& image) {
  if (!folder_.is_open()) folder_.open(record_);
  const std::string stem = stems_.unique(photo_stem(photo.id));
  try {
    write_crops(photo, image, stem);
  } catch (...) {
    for (crop::FoundItem& item : photo.items) item.crop.reset();
    throw;
  }
  if (arguments_.annotated) write_annotated(photo, image, stem);
}

void CropWriter::write_crops(crop::ImageResult& photo, const image::Image& image,
                             const std::string& stem) {
  const std::string extension(image::extension(arguments_.crop.format));
  int number = 0;
  for (crop::FoundItem& item : photo.items) {
    const fs::path name =
        fs::path(kCropFolder) / items::crop_name(stem, ++number, item.prompt, extension);
    crop::CropFile crop = crop::make_crop(image.view(), item.detection.box, arguments_.crop);
    folder_.write(name, *crop.bytes);
    crop.bytes.reset();
    crop.name = name.generic_string();
    write_thumbnail(crop::crop_view(image.view(), item.detection.box, arguments_.crop), crop.name,
                    kCropThumbnail);
    item.crop = std::move(crop);
  }
}

void CropWriter::write_annotated(crop::ImageResult& photo, const image::Image& image,
                                 const std::string& stem) {
  std::map<std::string, int> colours;  // --labels tokens has no item numbers
  std::vector<image::Annotation> annotations;
  for (const crop::FoundItem& item : photo.items) {
    const Detection& detection = item.detection;
    const int next = static_cast<int>(colours.size());
    const int colour = detection.item_index >= 0
                           ? detection.item_index
                           : colours.try_emplace(item.prompt, next).first->second;
    annotations.push_back({items::clamp_to_image(detection.box, image.width(), image.height()),
                           printable(item.prompt) + " " + fixed(detection.score, 2), colour});
  }
  // The best detection's box and label end up on top.
  std::reverse(annotations.begin(), annotations.end());
  const image::Image drawn = image::annotate(image.view(), annotations);
  const fs::path name = fs::path(kAnnotatedFolder) / (stem + ".jpg");
  folder_.write(name, image::encode(drawn.view(), image::Format::kJpeg, {kAnnotatedQuality}));
  photo.annotated = name.generic_string();
  write_thumbnail(drawn.view(), photo.annotated, kPhotoThumbnail);
}

void CropWriter::write_thumbnail(const ImageView& view, const std::string& of, int max_side) {
  if (!arguments_.contact_sheet) return;
  const image::Image small = image::shrink_to_fit(view, max_side);
  folder_.write(thumbnail_of(of),
                image::encode(small.view(), image::Format::kJpeg, {kThumbnailQuality}));
}

void CropWriter::write_summary(const RunResult& result) {
  if (!folder_.is_open()) return;
  folder_.write(kJson, to_json(result));
  if (arguments_.contact_sheet) folder_.write(kPage, contact_sheet(result));
  if (result.complete) folder_.complete();
}

fs::path CropWriter::overview() const {
  return folder_.path() / (arguments_.contact_sheet ? kPage : kJson);
}

}  // namespace itemcrop::cli
