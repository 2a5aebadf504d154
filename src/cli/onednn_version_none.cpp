#include "cli/library_versions.h"

namespace itemcrop::cli {

std::string onednn_version() { return "not in this build"; }

}  // namespace itemcrop::cli
