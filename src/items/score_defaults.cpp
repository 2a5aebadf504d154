#include "items/score_defaults.h"

namespace itemcrop::items {
namespace {

struct Family {
  std::string_view model_type;
  ScoreDefaults scores;
};

constexpr Family kFamilies[] = {
    {"grounding-dino", {0.25F, 0.25F}},
    {"mm-grounding-dino", {0.4F, 0.3F}},
};

}  // namespace

ScoreDefaults score_defaults(std::string_view model_type) noexcept {
  for (const Family& family : kFamilies) {
    if (family.model_type == model_type) return family.scores;
  }
  return kFamilies[0].scores;
}

}  // namespace itemcrop::items
