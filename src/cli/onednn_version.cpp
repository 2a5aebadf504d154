#include <dnnl.h>

#include "cli/library_versions.h"

namespace itemcrop::cli {

std::string onednn_version() {
  const dnnl_version_t* version = dnnl_version();
  return std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
         std::to_string(version->patch);
}

}  // namespace itemcrop::cli
