#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "crop/request.h"
#include "crop/result.h"
#include "taxonomy/model_hint.h"

namespace itemcrop::crop {

/// Of the images that were processed.
taxonomy::Findings findings_of(const Request& request, std::span<const ImageResult> images);

/// The "hints" of results: what the model that ran was never taught, as taxonomy::model_hint. Empty
/// where there is nothing to say. `words` is the model's taxonomy, `advice` says how to use another
/// model in the interface at hand.
std::vector<std::string> model_hints(const Request& request, std::span<const ImageResult> images,
                                     const taxonomy::Taxonomy& words, std::string_view model,
                                     std::string_view advice);

}  // namespace itemcrop::crop
