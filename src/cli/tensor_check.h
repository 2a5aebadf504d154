#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace itemcrop::cli {

struct TensorCheck {
  std::int64_t tensors = 0;
  std::int64_t values = 0;
  std::vector<std::string> not_finite;  ///< tensors holding a NaN or an infinity
};

/// Looks at every floating value of the checkpoint in a folder. Throws Error as
/// io::open_checkpoint does.
TensorCheck check_tensors(const std::filesystem::path& folder);

}  // namespace itemcrop::cli
