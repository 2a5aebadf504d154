// What a build without the CUDA module answers.
#include "itemcrop/error.h"

#include "backend/cuda/cuda_backend.h"

namespace itemcrop::cuda {
namespace {

constexpr const char* kReason = "this build has no CUDA module";

}  // namespace

std::vector<DeviceInfo> list_devices() {
  return {{.device = Device::kCuda,
           .index = 0,
           .name = "cuda",
           .usable = false,
           .detail = kReason,
           .precisions = {}}};
}

std::shared_ptr<const ops::Backend> make_cuda_backend(int /*index*/, Precision /*precision*/) {
  throw Error(ErrorCode::kUnsupportedDevice,
              std::string("device \"cuda\" cannot be used: ") + kReason);
}

}  // namespace itemcrop::cuda
