#pragma once

#include <memory>

#include "backend/cpu/isa.h"
#include "ops/backend.h"

namespace itemcrop::cpu {

/// The fast CPU backend on the process's instruction set (isa.h), or the scalar reference where
/// that is kScalar. kAuto: what the instruction set runs natively. bf16 is inside matrix products
/// only: inputs and weights are rounded, sums and everything else are fp32.
/// Throws Error(kUnsupportedDevice): fp16, or an ITEMCROP_CPU_ISA that is not available.
std::shared_ptr<const ops::Backend> make_cpu_backend(Precision precision);

}  // namespace itemcrop::cpu
