#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "taxonomy/taxonomy.h"

namespace itemcrop::taxonomy {

/// How much of what was asked for was found, in one photo or several.
struct Findings {
  std::size_t asked = 0;  ///< words, of each photo
  std::size_t found = 0;  ///< those with at least one detection
};

/// One line for somebody who asks a model for what it was never taught: what it knows, and which
/// model to get instead. None where more than a quarter of the words was found, or where `words`,
/// the model's taxonomy, was not written for it or does not say what it was taught. `better` is the
/// name of a model that knows more, as `models pull` takes it.
std::optional<std::string> model_hint(const Taxonomy& words, std::string_view model,
                                      const Findings& findings, std::string_view better);

}  // namespace itemcrop::taxonomy
