#include "cli/crop_writer.h"

#include <algorithm>
#include <map>
#include <system_error>
#include <vector>

#include "itemcrop/error.h"

#include "cli/contact_sheet.h"
#include "cli/photo_source.h"
#include "cli/words.h"
#include "core/atomic_file.h"
#include "crop/make_crops.h"
#include "image/annotate.h"
#include "image/encode.h"
#include "items/suppression.h"

namespace itemcrop::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCropFolder = "crops";
constexpr const char* kAnnotatedFolder = "annotated";
constexpr int kAnnotatedQuality = 85;  // for looking at, not for cutting

void create_folder(const fs::path& folder) {
  std::error_code problem;
  fs::create_directories(folder, problem);
  if (problem) {
    throw Error(ErrorCode::kIo,
                "cannot create the output folder '" + folder.string() + "': " + problem.message());
  }
}

}  // namespace

CropWriter::CropWriter(const CropArguments& arguments)
    : arguments_(arguments), folder_(arguments.out) {
  create_folder(folder_ / kCropFolder);
  if (arguments_.annotated) create_folder(folder_ / kAnnotatedFolder);
}

void CropWriter::write_photo(crop::ImageResult& photo, const image::Image& image) {
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
    write_file_atomically(folder_ / name, *crop.bytes);
    crop.bytes.reset();
    crop.name = name.generic_string();
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
  write_file_atomically(folder_ / name,
                        image::encode(drawn.view(), image::Format::kJpeg, {kAnnotatedQuality}));
  photo.annotated = name.generic_string();
}

void CropWriter::write_summary(const RunResult& result) const {
  write_file_atomically(folder_ / "results.json", to_json(result));
  if (arguments_.contact_sheet) {
    write_file_atomically(folder_ / "index.html", contact_sheet(result));
  }
}

fs::path CropWriter::overview() const {
  return folder_ / (arguments_.contact_sheet ? "index.html" : "results.json");
}

}  // namespace itemcrop::cli
