// A module of another build.
#include "backend/cuda/module.h"

extern "C" const itemcrop::cuda::Module* itemcrop_cuda_module() {
  static constexpr itemcrop::cuda::Module module = {"itemcrop 0.0.0", nullptr, nullptr};
  return &module;
}
