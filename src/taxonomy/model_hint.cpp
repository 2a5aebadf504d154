#include "taxonomy/model_hint.h"

namespace itemcrop::taxonomy {

std::optional<std::string> model_hint(const Taxonomy& words, std::string_view model,
                                      const Findings& findings, std::string_view better) {
  if (words.models.empty() || words.taught.empty()) return std::nullopt;
  if (findings.asked == 0 || 4 * findings.found > findings.asked) return std::nullopt;
  const std::string name(better);
  return "the model '" + std::string(model) + "' knows " + words.taught +
         "; for anything else: itemcrop models pull " + name + ", then --model " + name;
}

}  // namespace itemcrop::taxonomy
