#pragma once

#include <chrono>
#include <map>
#include <string>

#include "ops/weights.h"

namespace itemcrop::ops {

/// Time and number of calls of one kind of op.
struct OpTime {
  double milliseconds = 0;
  int calls = 0;
};

/// Times by op, those of products by "linear 256 -> 2048", in the order of the names.
using Profile = std::map<std::string, OpTime>;

/// What an op is called in a profile. `product` (or null) are the weights that tell ops of one name
/// apart.
std::string profile_name(const char* op, const LinearWeights* product);

/// Is told of an executor's ops (Executor::set_profiler).
class Profiler {
 public:
  virtual ~Profiler() = default;
  virtual void begin(const char* op, const LinearWeights* product) = 0;
  virtual void end() = 0;  ///< of the op last begun; not called where the op throws
};

/// Wall time, for executors whose ops finish before they return (the CPU's).
class WallTimeProfiler final : public Profiler {
 public:
  void begin(const char* op, const LinearWeights* product) override;
  void end() override;

  Profile profile;

 private:
  std::string op_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace itemcrop::ops
