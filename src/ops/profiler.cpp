#include "ops/profiler.h"

namespace itemcrop::ops {

std::string profile_name(const char* op, const LinearWeights* product) {
  std::string name = op;
  if (product != nullptr) {
    name.append(" ").append(std::to_string(product->inputs()));
    name.append(" -> ").append(std::to_string(product->outputs()));
  }
  return name;
}

void WallTimeProfiler::begin(const char* op, const LinearWeights* product) {
  op_ = profile_name(op, product);
  start_ = std::chrono::steady_clock::now();
}

void WallTimeProfiler::end() {
  const auto spent = std::chrono::steady_clock::now() - start_;
  OpTime& time = profile[op_];
  time.milliseconds += std::chrono::duration<double, std::milli>(spent).count();
  ++time.calls;
}

}  // namespace itemcrop::ops
