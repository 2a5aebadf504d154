#include <stdexcept>
#include <string>

#include "backend/cuda/kernels/layout.h"

namespace itemcrop::cuda::kernels {

bool early_launches_work() { return true; }

void throw_launch_error(int error, const char* kernel) {
  throw std::logic_error(std::string("launch of ") + kernel + " failed with CUDA error " +
                         std::to_string(error));
}

}  // namespace itemcrop::cuda::kernels
