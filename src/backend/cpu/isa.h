#pragma once

#include <string_view>

#include "itemcrop/model.h"

namespace itemcrop::cpu {

/// Instruction sets the CPU backend has code for, from least to most within one architecture.
enum class Isa { kScalar, kAvx2, kAvx512, kAvx512Bf16, kAmx, kNeon };

/// "scalar", "avx2", "avx512", "avx512_bf16", "amx" or "neon".
std::string_view to_string(Isa isa) noexcept;

/// Whether this processor, its kernel and this build can run it. kScalar always can.
bool is_available(Isa isa) noexcept;

/// The fastest available one.
Isa best_isa() noexcept;

/// What this process uses: the environment variable ITEMCROP_CPU_ISA if set, else best_isa().
/// Chosen once a process, because oneDNN's and Highway's own choices, which this limits to match,
/// are process-wide. Throws Error(kUnsupportedDevice) that names the value and what is available.
Isa selected_isa();

/// What Precision::kAuto means on it: kBf16 where products of bf16 are faster than those of fp32.
Precision native_precision(Isa isa) noexcept;

}  // namespace itemcrop::cpu
