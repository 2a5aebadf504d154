#pragma once

#include <cstddef>
#include <cstdint>

namespace itemcrop::cpu {

/// How a matrix product wants its inputs.
enum class Operand : std::uint8_t {
  kF32,
  kRoundedF32,  ///< fp32 holding values rounded to bf16: bf16 products without bf16 instructions
  kBf16,
};

constexpr std::size_t size_of(Operand operand) noexcept {
  return operand == Operand::kBf16 ? 2 : 4;
}

}  // namespace itemcrop::cpu
