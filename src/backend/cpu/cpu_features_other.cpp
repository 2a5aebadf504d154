#include "backend/cpu/cpu_features.h"

namespace itemcrop::cpu {

CpuFeatures cpu_features() noexcept {
  CpuFeatures features;
#if defined(__aarch64__)
  features.neon = true;  // part of every 64-bit Arm
#endif
  return features;
}

}  // namespace itemcrop::cpu
