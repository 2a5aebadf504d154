#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "taxonomy/taxonomy.h"

namespace itemcrop::taxonomy {

/// How much of what was asked for was found, in one image or several.
struct Findings {
  std::size_t asked = 0;            ///< words, of each image
  std::size_t found = 0;            ///< those with at least one detection
  std::vector<std::string> missed;  ///< words without a detection in any image, each once
};

/// One line for somebody who asks a model for what it was never taught: which words, what it knows
/// instead, and `advice`, which ends the line. None where every missed word was taught and more
/// than a quarter was found, or where `words`, the model's taxonomy, was not written for it or does
/// not say what it was taught.
std::optional<std::string> model_hint(const Taxonomy& words, std::string_view model,
                                      const Findings& findings, std::string_view advice);

}  // namespace itemcrop::taxonomy
