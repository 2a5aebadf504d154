#include "support/procedural_weights.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <numeric>
#include <string>

#include "support/splitmix64.h"

namespace itemcrop::test {
namespace {

bool ends_with_any(std::string_view name, std::initializer_list<std::string_view> suffixes) {
  return std::any_of(suffixes.begin(), suffixes.end(),
                     [&](std::string_view suffix) { return name.ends_with(suffix); });
}

/// A norm's weight or bias: its owner is named norm, hidden_states_norms.X or
/// input_proj_vision.L.1.
bool is_norm(std::string_view name) {
  std::vector<std::string> parts(1);
  for (const char c : name) {
    if (c == '.') {
      parts.emplace_back();
    } else {
      parts.back() += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  const std::size_t count = parts.size();
  if (count < 2 || (parts[count - 1] != "weight" && parts[count - 1] != "bias")) return false;
  if (parts[count - 2].find("norm") != std::string::npos) return true;
  if (count >= 3 && parts[count - 3] == "hidden_states_norms") return true;
  return count >= 4 && parts[count - 4] == "input_proj_vision" && parts[count - 2] == "1";
}

struct Rule {
  double offset;
  double scale;
};

Rule vector_rule(std::string_view name, double size, double logit_scale) {
  if (name.ends_with("text_enhancer_layer.layer_norm_after.weight")) {
    const double weight = 2.56 / std::sqrt(size) / logit_scale;
    return {weight, weight / 4};
  }
  if (name.ends_with("text_enhancer_layer.layer_norm_after.bias")) {
    return {-26.0 / size / logit_scale, 6.5 / size / logit_scale};
  }
  if (ends_with_any(name, {"decoder.layer_norm.bias", "enc_output_norm.bias"})) return {0.25, 0.1};
  if (name.ends_with("enc_output.bias")) return {0.0, 0.001};
  if (is_norm(name)) return name.ends_with(".weight") ? Rule{1.0, 0.2} : Rule{0.0, 0.1};
  if (ends_with_any(name, {"vision_param", "text_param"})) return {0.5, 0.25};
  if (name.ends_with("sampling_offsets.bias")) return {0.0, 4.0};
  if (name.find("class_embed") != std::string_view::npos) return {0.0, 0.5};
  return {0.0, 0.05};
}

Rule matrix_rule(std::string_view name, double fan_in) {
  if (name.ends_with("relative_position_bias_table")) return {0.0, 0.5};
  if (name.ends_with("level_embed")) return {0.0, 0.5};
  if (ends_with_any(name, {"word_embeddings.weight", "query_position_embeddings.weight"})) {
    return {0.0, 1.0};
  }
  if (name.ends_with("embeddings.weight")) return {0.0, 0.3};
  const double keep = std::sqrt(3.0 / fan_in);
  if (name.find("bbox_embed") != std::string_view::npos && name.ends_with("layers.2.weight")) {
    return {0.0, 0.2 * keep};
  }
  if (ends_with_any(name,
                    {".query.weight", ".key.weight", ".vision_proj.weight", ".text_proj.weight"})) {
    return {0.0, 1.5 * keep};
  }
  if (ends_with_any(name, {".output.dense.weight", ".out_proj.weight", ".out_vision_proj.weight",
                           ".out_text_proj.weight", ".fc2.weight"})) {
    return {0.0, 0.3 * keep};
  }
  return {0.0, keep};
}

std::int64_t product(std::span<const std::int64_t> shape) {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

/// How many consecutive rows hold the same values.
std::int64_t row_repeats(std::string_view name, std::span<const std::int64_t> shape) {
  if (!name.ends_with("query_position_embeddings.weight")) return 1;
  return std::max<std::int64_t>(1, shape.front() / 16);
}

}  // namespace

std::uint64_t fnv1a64(std::string_view text) noexcept {
  std::uint64_t value = 0xCBF29CE484222325ULL;
  for (const char c : text) {
    value = (value ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  }
  return value;
}

double logit_scale(const io::ModelConfig& config) {
  return config.biased_logits ? 1.0 / std::sqrt(config.d_model) : 1.0;
}

OffsetAndScale procedural_rule(std::string_view name, std::span<const std::int64_t> shape,
                               double logit_scale) {
  const std::int64_t size = product(shape);
  const Rule rule = shape.size() <= 1
                        ? vector_rule(name, static_cast<double>(size), logit_scale)
                        : matrix_rule(name, static_cast<double>(size / shape.front()));
  return {static_cast<float>(rule.offset), static_cast<float>(rule.scale)};
}

void procedural_values(std::string_view name, std::span<const std::int64_t> shape,
                       double logit_scale, std::int64_t begin, std::span<float> values) {
  const auto [offset, scale] = procedural_rule(name, shape, logit_scale);
  const std::uint64_t seed = fnv1a64(name);
  const std::int64_t columns = shape.empty() ? 1 : shape.back();
  const std::int64_t repeats = row_repeats(name, shape);
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::int64_t index = begin + static_cast<std::int64_t>(i);
    if (repeats > 1) index -= index / columns % repeats * columns;
    const std::uint64_t state = seed + static_cast<std::uint64_t>(index) * kGoldenGamma;
    const auto bits = static_cast<std::int32_t>(splitmix64(state) >> 40);
    const float unit = static_cast<float>(bits) * 0x1p-23F - 1.0F;
    // Two roundings, as numpy has: a fused multiply-add would give other bits.
    const float scaled = scale * unit;
    values[i] = offset + scaled;
  }
}

std::vector<float> procedural_tensor(std::string_view name, std::span<const std::int64_t> shape,
                                     double logit_scale) {
  std::vector<float> values(static_cast<std::size_t>(product(shape)));
  procedural_values(name, shape, logit_scale, 0, values);
  return values;
}

}  // namespace itemcrop::test
