#include "backend/cpu/isa.h"

#include <array>
#include <cstdlib>
#include <string>

#include "itemcrop/error.h"

#include "backend/cpu/cpu_features.h"
#include "backend/cpu/gemm.h"
#include "core/enum_names.h"
#include "hwy/targets.h"

namespace itemcrop::cpu {
namespace {

constexpr std::array kAll = {Isa::kScalar,     Isa::kAvx2, Isa::kAvx512,
                             Isa::kAvx512Bf16, Isa::kAmx,  Isa::kNeon};

/// Highway's newer targets (AVX3_ZEN4, AVX3_SPR) have numerically lower bits than AVX3.
constexpr std::int64_t kBeyondAvx2 = HWY_AVX2 - 1;

Isa parse_isa(std::string_view word) {
  std::string available;
  for (const Isa isa : kAll) {
    if (!is_available(isa)) continue;
    if (to_string(isa) == word) return isa;
    available += (available.empty() ? "" : ", ") + std::string(to_string(isa));
  }
  throw Error(ErrorCode::kUnsupportedDevice, "ITEMCROP_CPU_ISA is \"" + std::string(word) +
                                                 "\"; this machine and build have: " + available);
}

Isa select_isa() {
  const char* word = std::getenv("ITEMCROP_CPU_ISA");
  const Isa isa = word == nullptr || *word == '\0' ? best_isa() : parse_isa(word);
  if (isa == Isa::kAvx2) hwy::DisableTargets(kBeyondAvx2);
  limit_gemm_isa(isa);
  return isa;
}

}  // namespace

std::string_view to_string(Isa isa) noexcept {
  static constexpr EnumNames<Isa::kNeon> kNames("scalar", "avx2", "avx512", "avx512_bf16", "amx",
                                                "neon");
  return kNames[isa];
}

bool is_available(Isa isa) noexcept {
  const CpuFeatures features = cpu_features();
  switch (isa) {
    case Isa::kScalar:
      return true;
    case Isa::kAvx2:
      return features.avx2;
    case Isa::kAvx512:
      return features.avx512;
    case Isa::kAvx512Bf16:
      return features.avx512 && features.avx512_bf16;
    case Isa::kAmx:
      return features.avx512 && features.avx512_bf16 && features.amx_bf16;
    case Isa::kNeon:
      return features.neon;
  }
  return false;
}

Isa best_isa() noexcept {
  Isa best = Isa::kScalar;
  for (const Isa isa : kAll) {
    if (is_available(isa)) best = isa;
  }
  return best;
}

Isa selected_isa() {
  static const Isa isa = select_isa();
  return isa;
}

Precision native_precision(Isa isa) noexcept {
  return has_bf16_products(isa) ? Precision::kBf16 : Precision::kFp32;
}

}  // namespace itemcrop::cpu
