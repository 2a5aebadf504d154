#pragma once

#include <string>
#include <vector>

#include "ops/backend.h"
#include "unit/backend/op_case.h"

namespace itemcrop::test {

/// Runs a case on a backend. Results have the names of op_goldens.py's expectations. Throws if the
/// op writes beside its matrices. `peak_bytes` receives what the executor took.
OpResult run_case(const OpCase& op_case, const ops::Backend& backend, int threads,
                  std::size_t* peak_bytes = nullptr);

}  // namespace itemcrop::test
