#pragma once

namespace itemcrop::cpu {

/// What the processor and its operating system let a program use.
struct CpuFeatures {
  bool avx2 = false;    ///< with FMA and F16C
  bool avx512 = false;  ///< F, BW, CD, DQ and VL
  bool avx512_bf16 = false;
  bool amx_bf16 = false;  ///< tiles granted by the kernel
  bool neon = false;
};

CpuFeatures cpu_features() noexcept;

}  // namespace itemcrop::cpu
