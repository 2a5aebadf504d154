#pragma once

#include <string>
#include <utility>
#include <vector>

namespace itemcrop::cli {

/// Name and version, as found at run time, of the libraries this build uses; also the image
/// formats that the system's libvips reads.
std::vector<std::pair<std::string, std::string>> library_versions();

/// oneDNN's version, or "not in this build".
std::string onednn_version();

}  // namespace itemcrop::cli
