// What libitemcrop_cuda.so exports.
#include <cstdlib>
#include <cstring>

#include "backend/cuda/backend.h"
#include "backend/cuda/module.h"

namespace itemcrop::cuda {
namespace {

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && std::strcmp(value, "1") == 0;
}

std::shared_ptr<const ops::Backend> make_backend(int index, Precision precision) {
  Tuning tuning;
  tuning.products.deterministic = is_set("ITEMCROP_CUDA_DETERMINISTIC");
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
