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
#include "image/annotate.h"
#include "image/crop.h"
#include "image/encode.h"

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

/// LabelMode::kTokens keeps boxes as the reference gives them, which may lean over the edge.
Box inside(const Box& box, const image::Picture& picture) {
  const auto w = static_cast<float>(picture.width());
  const auto h = static_cast<float>(picture.height());
  return {std::clamp(box.x0, 0.0F, w), std::clamp(box.y0, 0.0F, h), std::clamp(box.x1, 0.0F, w),
          std::clamp(box.y1, 0.0F, h)};
}

}  // namespace

CropWriter::CropWriter(const CropArguments& arguments)
    : arguments_(arguments), folder_(arguments.out) {
  create_folder(folder_ / kCropFolder);
  if (arguments_.annotated) create_folder(folder_ / kAnnotatedFolder);
}

void CropWriter::write_photo(PhotoResult& photo, const image::Picture& picture) {
  const std::string stem = stems_.unique(photo_stem(photo.file));
  write_crops(photo, picture, stem);
  if (arguments_.annotated) write_annotated(photo, picture, stem);
}

void CropWriter::write_crops(PhotoResult& photo, const image::Picture& picture,
                             const std::string& stem) {
  const std::string extension(image::extension(arguments_.crop.format));
  std::vector<std::string> names;
  for (const Detection& detection : photo.detections) {
    const fs::path name =
        fs::path(kCropFolder) /
        items::crop_name(stem, static_cast<int>(names.size()) + 1, detection.item, extension);
    const std::vector<std::byte> bytes =
        image::encode_crop(picture.view(), inside(detection.box, picture), arguments_.crop);
    write_file_atomically(folder_ / name, bytes);
    names.push_back(name.generic_string());
  }
  photo.crops = std::move(names);
}

void CropWriter::write_annotated(PhotoResult& photo, const image::Picture& picture,
                                 const std::string& stem) {
  std::map<std::string, int> colours;  // --labels tokens has no item numbers
  std::vector<image::Annotation> annotations;
  for (const Detection& detection : photo.detections) {
    const int next = static_cast<int>(colours.size());
    const int colour = detection.item_index >= 0
                           ? detection.item_index
                           : colours.try_emplace(detection.item, next).first->second;
    annotations.push_back({inside(detection.box, picture),
                           printable(detection.item) + " " + fixed(detection.score, 2), colour});
  }
  // The best detection's box and label end up on top.
  std::reverse(annotations.begin(), annotations.end());
  const image::Picture drawn = image::annotate(picture.view(), annotations);
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
