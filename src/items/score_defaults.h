#pragma once

#include <string_view>

namespace itemcrop::items {

/// Thresholds that suit a family's scores, for requests that give none.
struct ScoreDefaults {
  float threshold = 0;
  float text_threshold = 0;
};

/// Of a family by its model_type ("grounding-dino"); an unknown one has grounding-dino's. Source:
/// the usual thresholds of Grounding DINO's demos, and what transformers publishes
/// mm-grounding-dino's expected scores with.
ScoreDefaults score_defaults(std::string_view model_type) noexcept;

}  // namespace itemcrop::items
