#include "model_files/known_models.h"

#include <algorithm>
#include <array>

#include "core/ascii.h"

namespace itemcrop::model_files {
namespace {

constexpr std::string_view kApache = "Apache-2.0";
constexpr std::string_view kSwinT = "Swin-T";
constexpr std::string_view kSwinB = "Swin-B";
constexpr std::string_view kSwinL = "Swin-L";

// Accuracy: the model cards, the README of mmdetection's configs/mm_grounding_dino and LLMDet's.
constexpr auto kModels = std::to_array<KnownModel>({
    {"llmdet-tiny", "iSEE-Laboratory/llmdet_tiny", kSwinT, 695, kApache, std::nullopt, 44.7,
     "recommended: finds anything, at the cost of grounding-dino-tiny"},
    {"llmdet-base", "iSEE-Laboratory/llmdet_base", kSwinB, 935, kApache, std::nullopt, 48.3, ""},
    {"llmdet-large", "iSEE-Laboratory/llmdet_large", kSwinL, 1375, kApache, std::nullopt, 51.1,
     "finds most; for a GPU"},
    {"mm-grounding-dino-tiny-o365v1-goldg",
     "openmmlab-community/mm_grounding_dino_tiny_o365v1_goldg", kSwinT, 695, kApache, 50.4, 35.7,
     ""},
    {"mm-grounding-dino-tiny-o365v1-goldg-grit",
     "openmmlab-community/mm_grounding_dino_tiny_o365v1_goldg_grit", kSwinT, 695, kApache, 50.5,
     36.5, ""},
    {"mm-grounding-dino-tiny-o365v1-goldg-v3det",
     "openmmlab-community/mm_grounding_dino_tiny_o365v1_goldg_v3det", kSwinT, 695, kApache, 50.6,
     40.5, ""},
    {"mm-grounding-dino-tiny-o365v1-goldg-grit-v3det",
     "openmmlab-community/mm_grounding_dino_tiny_o365v1_goldg_grit_v3det", kSwinT, 695, kApache,
     50.4, 41.4, ""},
    {"mm-grounding-dino-base-o365v1-goldg-v3det",
     "openmmlab-community/mm_grounding_dino_base_o365v1_goldg_v3det", kSwinB, 935, kApache, 52.5,
     std::nullopt, ""},
    {"mm-grounding-dino-base-all", "openmmlab-community/mm_grounding_dino_base_all", kSwinB, 935,
     kApache, 59.5, std::nullopt, ""},
    {"mm-grounding-dino-large-o365v2-oiv6-goldg",
     "openmmlab-community/mm_grounding_dino_large_o365v2_oiv6_goldg", kSwinL, 1375, kApache, 53.0,
     std::nullopt, ""},
    {"mm-grounding-dino-large-all", "openmmlab-community/mm_grounding_dino_large_all", kSwinL, 1375,
     kApache, 60.3, std::nullopt, ""},
    {"grounding-dino-tiny", "IDEA-Research/grounding-dino-tiny", kSwinT, 690, kApache, 48.4, 28.8,
     ""},
    {"grounding-dino-base", "IDEA-Research/grounding-dino-base", kSwinB, 930, kApache, std::nullopt,
     std::nullopt, ""},
});

struct OwnerAndName {
  std::string owner;  ///< empty: none given
  std::string name;
};

OwnerAndName split(std::string_view text) {
  std::string word = lower(text);
  std::replace(word.begin(), word.end(), '_', '-');
  const std::size_t slash = word.rfind('/');
  if (slash == std::string::npos) return {"", word};
  return {word.substr(0, slash), word.substr(slash + 1)};
}

}  // namespace

std::span<const KnownModel> known_models() { return kModels; }

const KnownModel* find_known_model(std::string_view name) {
  const std::string wanted = split(name).name;
  const auto found = std::find_if(kModels.begin(), kModels.end(), [&](const KnownModel& model) {
    return split(model.repository).name == wanted;
  });
  return found == kModels.end() ? nullptr : &*found;
}

std::string repository_of(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const KnownModel* known = find_known_model(name);
  return known == nullptr ? name : std::string(known->repository);
}

bool is_same_model(std::string_view a, std::string_view b) {
  const OwnerAndName first = split(a);
  const OwnerAndName second = split(b);
  return first.name == second.name &&
         (first.owner.empty() || second.owner.empty() || first.owner == second.owner);
}

}  // namespace itemcrop::model_files
