#pragma once

#include <cuda_runtime_api.h>

/// For the files that speak to CUDA itself.
namespace itemcrop::cuda {

/// Throws Error unless `status` is success; `action` says what failed ("copy").
void check(cudaError_t status, const char* action);

}  // namespace itemcrop::cuda
