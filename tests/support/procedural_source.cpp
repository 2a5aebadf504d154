#include "support/procedural_source.h"

#include <utility>

#include "io/weight_table.h"
#include "support/procedural_weights.h"

namespace itemcrop::test {

ProceduralSource::ProceduralSource(const io::ModelConfig& config) {
  for (const io::WeightSpec& spec : io::weight_table(config)) {
    Entry& entry = entries_[spec.name];
    entry.values = procedural_tensor(spec.name, spec.shape, logit_scale(config));
    entry.tensor = {.name = spec.name,
                    .dtype = DType::kF32,
                    .shape = spec.shape,
                    .data = reinterpret_cast<const std::byte*>(entry.values.data()),
                    .bytes = entry.values.size() * sizeof(float)};
  }
}

const io::StoredTensor* ProceduralSource::find(std::string_view name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second.tensor;
}

std::vector<std::string_view> ProceduralSource::names() const {
  std::vector<std::string_view> names;
  for (const auto& [name, entry] : entries_) names.emplace_back(name);
  return names;
}

}  // namespace itemcrop::test
