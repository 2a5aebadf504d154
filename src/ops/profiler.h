#pragma once

#include <map>
#include <memory>
#include <string>

#include "ops/executor.h"

namespace itemcrop::ops {

/// Wall time and number of calls of one kind of op.
struct OpTime {
  double milliseconds = 0;
  int calls = 0;
};

/// Times by op, "linear 256 -> 2048" style names for products, in the order of the names.
using Profile = std::map<std::string, OpTime>;

/// Passes every op on to `inner` and adds its wall time to `profile`. For executors whose ops
/// finish before they return (the CPU's).
std::unique_ptr<Executor> make_profiler(std::unique_ptr<Executor> inner, Profile& profile);

}  // namespace itemcrop::ops
