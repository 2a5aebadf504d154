#pragma once

#include "backend/cuda/executor.h"

namespace itemcrop::cuda {

class CudaExecutor::Op {
 public:
  Op(CudaExecutor& executor, const char* name);
  ~Op() noexcept(false);
  Op(const Op&) = delete;
  Op& operator=(const Op&) = delete;

 private:
  CudaExecutor& executor_;
  const char* name_;
  std::size_t mark_;
  int exceptions_;
};

}  // namespace itemcrop::cuda
