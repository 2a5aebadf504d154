#pragma once

#include <filesystem>
#include <string>
#include <utility>

#include "cli/arguments.h"
#include "cli/output_folder.h"
#include "cli/results.h"
#include "crop/result.h"
#include "image/image.h"
#include "items/naming.h"

namespace itemcrop::cli {

/// What a run of `itemcrop crop` writes into its output folder.
class CropWriter {
 public:
  /// Changes nothing yet. Throws Error(kIo) of OutputFolder.
  explicit CropWriter(const CropArguments& arguments);

  const OutputFolder& folder() const noexcept { return folder_; }

  /// What the folder's record will say of this run.
  void set_record(RunRecord record) { record_ = std::move(record); }

  /// Writes the photo's crops, its annotated image and thumbnails, and notes their names in
  /// `photo`; if that fails, it has no crops. The first photo opens the folder, so that a run that
  /// can read none changes nothing. Throws Error: kIo, or what encoding throws.
  void write_photo(crop::ImageResult& photo, const image::Image& image);

  /// Writes results.json and index.html, if a photo was written. Throws Error(kIo).
  void write_summary(const RunResult& result);

  /// The page or, without one, the JSON: where a person should look.
  std::filesystem::path overview() const;

 private:
  void write_crops(crop::ImageResult& photo, const image::Image& image, const std::string& stem);
  void write_annotated(crop::ImageResult& photo, const image::Image& image,
                       const std::string& stem);
  void write_thumbnail(const ImageView& view, const std::string& of, int max_side);

  const CropArguments& arguments_;
  OutputFolder folder_;
  RunRecord record_;
  items::UniqueStems stems_;
};

/// The small file that index.html shows for a crop or an annotated image:
/// "thumbnails/a_01_hat.jpg" for "crops/a_01_hat.png".
std::string thumbnail_of(const std::string& path);

}  // namespace itemcrop::cli
