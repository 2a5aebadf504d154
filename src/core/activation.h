#pragma once

#include <cstdint>

namespace itemcrop {

enum class Activation : std::uint8_t { kNone, kRelu, kGelu };  // kGelu: x * Phi(x), by erf

}  // namespace itemcrop
