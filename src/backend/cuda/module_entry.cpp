// What libitemcrop_cuda.so exports.
#include "backend/cuda/backend.h"
#include "backend/cuda/module.h"

namespace itemcrop::cuda {
namespace {

std::shared_ptr<const ops::Backend> make_backend(int index, Precision precision,
                                                 bool deterministic) {
  Tuning tuning;
  tuning.products.deterministic = deterministic;
  return std::make_shared<const CudaBackend>(index, precision, tuning);
}

}  // namespace
}  // namespace itemcrop::cuda

extern "C" __attribute__((visibility("default"))) const itemcrop::cuda::Module*
itemcrop_cuda_module() {
  static constexpr itemcrop::cuda::Module module = {
      itemcrop::cuda::kModuleBuild, itemcrop::cuda::devices, itemcrop::cuda::make_backend};
  return &module;
}
