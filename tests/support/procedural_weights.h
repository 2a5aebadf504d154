#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace itemcrop::test {

/// FNV-1a, 64 bits, of the bytes of `text`.
std::uint64_t fnv1a64(std::string_view text) noexcept;

struct OffsetAndScale {
  float offset = 0;
  float scale = 0;
};

/// The rule for a published tensor name and shape. The table of rules and its reasons are in
/// tests/reference/procedural_weights.py, the twin of this file.
OffsetAndScale procedural_rule(std::string_view name, std::span<const std::int64_t> shape);

/// Elements [begin, begin + values.size()) of the tensor, row-major, bit-identical with Python's.
void procedural_values(std::string_view name, std::span<const std::int64_t> shape,
                       std::int64_t begin, std::span<float> values);

/// The whole tensor.
std::vector<float> procedural_tensor(std::string_view name, std::span<const std::int64_t> shape);

}  // namespace itemcrop::test
