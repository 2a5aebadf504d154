#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "unit/backend/op_case.h"

namespace itemcrop::test {

/// Ops that random_case() draws.
std::vector<std::string> random_ops();

/// A case of `op`: weights and common sizes (channels, heads, levels) follow from `seed`, each
/// sample's own sizes and values from its number in `samples` alone; so the same sample can be run
/// alone and in a batch.
OpCase random_case(const std::string& op, std::uint64_t seed,
                   const std::vector<std::uint64_t>& samples);

}  // namespace itemcrop::test
