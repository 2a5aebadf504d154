// Gives the engine the GPU backend that this program is linked with, emulated or real, instead of
// the module that it would look for.
#include <memory>

#include "backend/cuda/backend.h"
#include "backend/cuda/cuda_backend.h"

namespace itemcrop::cuda {

std::vector<DeviceInfo> list_devices() { return devices(); }

std::shared_ptr<const ops::Backend> make_cuda_backend(int index, Precision precision,
                                                      bool deterministic) {
  Tuning tuning;
  // So small that small models' ops run in pieces too.
  tuning.piece_bytes = std::size_t{1} << 16;
  tuning.products.deterministic = deterministic;
  return std::make_shared<const CudaBackend>(index, precision, tuning);
}

}  // namespace itemcrop::cuda
