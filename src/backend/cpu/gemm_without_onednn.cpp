#include "backend/cpu/gemm.h"

namespace itemcrop::cpu {

std::shared_ptr<const GemmEngine> make_gemm_engine(Isa /*isa*/) {
  return make_portable_gemm_engine();
}

bool has_bf16_products(Isa /*isa*/) noexcept { return false; }

void limit_gemm_isa(Isa /*isa*/) noexcept {}

}  // namespace itemcrop::cpu
