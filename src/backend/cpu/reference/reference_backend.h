#pragma once

#include <memory>

#include "ops/backend.h"

namespace itemcrop::cpu {

/// The definition of every op in plain scalar loops: fp32 whatever is asked, no dependency, no
/// instruction set beyond the compiler's baseline. Slow; other backends are tested against it, and
/// it runs where no fast one does.
std::shared_ptr<const ops::Backend> make_reference_backend();

}  // namespace itemcrop::cpu
