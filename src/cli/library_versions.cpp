#include "cli/library_versions.h"

#include <array>

#include "itemcrop/version.h"

#include "cli/words.h"
#include "core/words.h"
#include "image/decode.h"
#include "image/vips_library.h"

namespace itemcrop::cli {

std::vector<std::pair<std::string, std::string>> library_versions() {
  using image::SourceFormat;
  static constexpr std::array kFormats = {
      SourceFormat::kJpeg, SourceFormat::kPng,  SourceFormat::kWebp, SourceFormat::kTiff,
      SourceFormat::kGif,  SourceFormat::kHeic, SourceFormat::kAvif};
  std::vector<std::string> readable;
  for (const SourceFormat format : kFormats) {
    if (image::can_decode(format)) readable.emplace_back(image::to_string(format));
  }
  return {{"itemcrop", ITEMCROP_VERSION},
          {"oneDNN", onednn_version()},
          {"libvips", image::libvips_version()},
          {"image formats", join(readable)}};
}

}  // namespace itemcrop::cli
