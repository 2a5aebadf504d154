#pragma once

#include <filesystem>
#include <string>

#include "cli/arguments.h"
#include "cli/results.h"
#include "crop/result.h"
#include "image/image.h"
#include "items/naming.h"

namespace itemcrop::cli {

/// The output folder of `itemcrop crop`. Every file appears whole or not at all.
class CropWriter {
 public:
  /// Creates the folder and its parts. Throws Error(kIo) naming the folder and the cause.
  explicit CropWriter(const CropArguments& arguments);

  /// Writes the photo's crops and its annotated image, and notes their names in `photo`; if that
  /// fails, it has no crops.
  /// Throws Error: kIo, or what encoding throws.
  void write_photo(crop::ImageResult& photo, const image::Image& image);

  /// Writes results.json and index.html. Throws Error(kIo).
  void write_summary(const RunResult& result) const;

  /// The page or, without one, the JSON: where a person should look.
  std::filesystem::path overview() const;

 private:
  void write_crops(crop::ImageResult& photo, const image::Image& image, const std::string& stem);
  void write_annotated(crop::ImageResult& photo, const image::Image& image,
                       const std::string& stem);

  const CropArguments& arguments_;
  std::filesystem::path folder_;
  items::UniqueStems stems_;
};

}  // namespace itemcrop::cli
