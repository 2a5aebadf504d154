#include "crop/hints.h"

#include <algorithm>
#include <cstddef>

namespace itemcrop::crop {

taxonomy::Findings findings_of(const Request& request, std::span<const ImageResult> images) {
  std::vector<std::string> asked = request.categories;
  for (const Item& item : request.items) {
    if (!item.distractor) asked.push_back(item.prompt);
  }
  const auto lacks = [](const ImageResult& image, const std::string& word) {
    return std::find(image.not_found.begin(), image.not_found.end(), word) != image.not_found.end();
  };
  taxonomy::Findings findings;
  for (const std::string& word : asked) {
    std::size_t missed = 0;
    std::size_t processed = 0;
    for (const ImageResult& image : images) {
      if (image.error) continue;
      ++processed;
      if (lacks(image, word)) ++missed;
    }
    findings.asked += processed;
    findings.found += processed - missed;
    const bool known =
        std::find(findings.missed.begin(), findings.missed.end(), word) != findings.missed.end();
    if (processed > 0 && missed == processed && !known) findings.missed.push_back(word);
  }
  return findings;
}

std::vector<std::string> model_hints(const Request& request, std::span<const ImageResult> images,
                                     const taxonomy::Taxonomy& words, std::string_view model,
                                     std::string_view advice) {
  const auto hint = taxonomy::model_hint(words, model, findings_of(request, images), advice);
  if (!hint) return {};
  return {*hint};
}

}  // namespace itemcrop::crop
