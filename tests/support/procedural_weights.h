#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "io/model_config.h"

namespace itemcrop::test {

/// FNV-1a, 64 bits, of the bytes of `text`.
std::uint64_t fnv1a64(std::string_view text) noexcept;

struct OffsetAndScale {
  float offset = 0;
  float scale = 0;
};

/// By what the class heads of a model multiply x.t; the rules of a few tensors depend on it.
double logit_scale(const io::ModelConfig& config);

/// The rule for a published tensor name and shape. The table of rules and its reasons are in
/// tests/reference/procedural_weights.py, the twin of this file.
OffsetAndScale procedural_rule(std::string_view name, std::span<const std::int64_t> shape,
                               double logit_scale);

/// Elements [begin, begin + values.size()) of the tensor, row-major, bit-identical with Python's.
void procedural_values(std::string_view name, std::span<const std::int64_t> shape,
                       double logit_scale, std::int64_t begin, std::span<float> values);

/// The whole tensor.
std::vector<float> procedural_tensor(std::string_view name, std::span<const std::int64_t> shape,
                                     double logit_scale);

}  // namespace itemcrop::test
