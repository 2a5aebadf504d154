#pragma once

#include "backend/cuda/executor.h"

namespace itemcrop::cuda {

class CudaExecutor::Op {
 public:
  /// `weight` tells ops of one name apart in a profile.
  Op(CudaExecutor& executor, const char* name, const ops::Linear* weight = nullptr);
  ~Op() noexcept(false);
  Op(const Op&) = delete;
  Op& operator=(const Op&) = delete;

 private:
  CudaExecutor& executor_;
  std::size_t mark_;
  int exceptions_;
};

}  // namespace itemcrop::cuda
